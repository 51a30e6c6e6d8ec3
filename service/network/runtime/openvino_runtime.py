"""OpenVINO on CPUs and on Intel GPUs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from service.errors import BundleRefused
from service.network.bundle import Variant
from service.network.runtime import Check, Outputs, Placement, Runtime
from service.network.runtime.fixed_batches import FixedBatches
from service.network.runtime.latency import low_latency_runtime
from service.network.runtime.openvino_core import core
from service.network.runtime.split_graph import read_split
from service.network.runtime.thread_priority import start_at_lower_priority
from service.settings import Device

_DEVICES: dict[Device, str] = {"cpu": "CPU", "gpu": "GPU"}

_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32", "int8w7": "f32"}
"""What arithmetic outside 8-bit layers is done in. Left unsaid, OpenVINO picks bfloat16 wherever
the processor has it, and a float32 variant would not be one."""

_STANDS_BACK = 5
"""Nice value of the threads that run the network, beside those that decode and answer. Decoded
images then queue up and run in larger batches, with nothing else pushing the weights out of the
cache in between: 4-megapixel JPEGs went from 105 to 119 a second on two cores, small ones stayed
as they were, and the event loop waits less for a core."""

_SPARE = 1
"""Requests beyond the streams: one is emptied and filled anew while the others run, or waits inside
for a stream to fall free. Without it a stream stood idle until Python, on cores that were busy, had
come round to the next batch: a tenth of the throughput. Two did no better."""

BATCHES = (1, 4, 8, 16, 32)
"""Batch sizes that pay, of which those below the largest that is asked for are compiled beside it.
With its size left open, OpenVINO takes 3 to 5 % longer. By itself the network takes 8 % less for an
image in four than alone and 10 % less in eight (int8, in pieces), and what surrounds a run costs an
image the less the more of them share it: at 32 clients the service went from 0.98 to 1.05 of what
the quickest peer does (`bench/peers`) with eight, the pieces and less work beside each answer."""

_PIECES = {"float32": 1, "bfloat16": 1, "int8": 2, "int8w7": 2}
"""Images that go through the first layers together (`service.network.runtime.split_graph`). In 8
bits two are quickest: 1 % more images a second than uncut in batches of four, 5 % in batches of
eight. Else it is one: 7 % more in float32, 3 % in bfloat16, both in batches of four."""


class OpenVinoRuntime:
    """A compiled model with a pool of inference requests."""

    spare = _SPARE
    batches: tuple[int, ...] | None = None
    steps = ()

    def __init__(self, model: Any, placement: Placement, streams: int) -> None:
        self.placement = placement
        self.slots = streams
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams + self.spare):
            self._requests.put(model.create_infer_request())

    @property
    def low_latency(self) -> OpenVinoRuntime:
        return self

    def run(self, pixels: np.ndarray) -> Outputs:
        request = self._requests.get()
        try:
            request.infer({"pixels": pixels}, share_inputs=True)
            # The tensors belong to the request, which the next run writes over.
            return Outputs(
                *(request.get_tensor(name).data.copy() for name in ("logits", "cams", "features"))
            )
        finally:
            self._requests.put(request)


def unavailable_reason(variant: Variant, device: Device) -> str | None:
    """Why OpenVINO cannot run a variant on a device here; None where it can."""
    if device not in _DEVICES:
        return f"OpenVINO knows no device {device}; it has cpu and gpu"
    found = core().available_devices
    if not any(name.split(".")[0] == _DEVICES[device] for name in found):
        return f"OpenVINO finds no {_DEVICES[device]} here, only {', '.join(found) or 'nothing'}"
    return None


def batch_sizes_up_to(most: int) -> tuple[int, ...]:
    """The batch sizes to compile the network for, ascending from 1 to `most`."""
    return (*(size for size in BATCHES if size < most), most)


def open_variant(folder: Path, variant: Variant, placement: Placement) -> Runtime:
    """Compile an ONNX or OpenVINO file for single images, with one stream per thread.

    Larger batches, and a single image on all threads, are its steps. Nothing compiled is cached on
    disk: a cache would be a second file to trust.

    Raises:
        BundleRefused: OpenVINO cannot load it, or not on that device.
    """
    if placement.device != "cpu":
        return _compile(folder, variant, placement, None, placement.streams or 1)
    by_load = placement.streams is None and placement.threads > 1
    streams = placement.threads if by_load else placement.streams or 1

    def compiled(size: int) -> OpenVinoRuntime:
        nice = _STANDS_BACK if by_load else 0
        return start_at_lower_priority(
            nice, lambda: _compile(folder, variant, placement, size, streams)
        )

    runtime = FixedBatches({1: compiled(1)})

    def add(size: int, check: Check) -> None:
        model = compiled(size)
        check(model, size)
        runtime.add(size, model)

    def add_wide(check: Check) -> None:
        wide = FixedBatches({1: _compile(folder, variant, placement, 1, 1)})
        check(wide, 1)
        runtime.low_latency = low_latency_runtime(wide, runtime)

    # The largest first: at the start of a pod as many images wait as it gets.
    larger = [partial(add, size) for size in reversed(batch_sizes_up_to(placement.max_batch)[1:])]
    runtime.steps = (*larger[:1], add_wide, *larger[1:]) if by_load else larger
    return runtime


def _compile(
    folder: Path, variant: Variant, placement: Placement, size: int | None, streams: int
) -> OpenVinoRuntime:
    """Compile for batches of one size, or of any where it is left open."""
    path = folder / variant.files[0]
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _HINTS[variant.precision]}
    if placement.device == "cpu":
        config |= {
            "INFERENCE_NUM_THREADS": placement.threads,
            "NUM_STREAMS": streams,
            # Pinned threads of two processes would share one core and leave the other idle.
            "ENABLE_CPU_PINNING": False,
        }
    try:
        if size is None:
            network = core().read_model(path)
        else:
            piece = _PIECES[variant.precision]
            network = read_split(path, size, piece if size % piece == 0 else 1)
        model = core().compile_model(network, _DEVICES[placement.device], config)
    except RuntimeError as error:
        raise BundleRefused(f"{path} cannot be loaded by OpenVINO: {error}") from error
    return OpenVinoRuntime(model, placement, streams)
