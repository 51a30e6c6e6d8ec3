"""The interface of the runtimes, and loading one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from service.errors import BundleRefused
from service.network.bundle import Bundle, Variant
from service.network.runtime.machine import missing_instructions
from service.network.runtime.threads import usable_cpus
from service.network.scores import sigmoid
from service.settings import Device


@dataclass(frozen=True, eq=False)
class Outputs:
    """The network's outputs for a batch.

    Attributes:
        logits: float32 (N, 18).
        cams: float32 (N, 18, 7, 7), class activation maps: their mean over the grid plus
            the classifier's bias is the logit.
        features: float32 (N, 2560), at least 0: activations behind the last three dense blocks,
            averaged over the image (`service.network.bundle.DEPTHS`).
    """

    logits: np.ndarray
    cams: np.ndarray
    features: np.ndarray


@dataclass(frozen=True)
class Placement:
    """Device, threads and streams of a runtime.

    Attributes:
        threads: Threads for everything that it runs at one time.
        device: What it runs on.
        streams: Runs that share these threads at one time, where the runtime can do that; None
            takes one a thread, and for a lone run what is quickest.
        max_batch: Images of a batch at the most, for runtimes that are made for some sizes.
    """

    threads: int
    device: Device = "cpu"
    streams: int | None = 1
    max_batch: int = 8


Check = Callable[["Runtime", int], None]
"""Raises BundleRefused where a runtime for batches of so many images is not to be trusted."""

Step = Callable[[Check], None]
"""Compiles one more model of a runtime, checks it and takes it into use; the runtime may run
meanwhile. Where the check fails the runtime stays as it is."""


class Runtime(Protocol):
    """Runs one variant of the network. Safe to call from several threads.

    Attributes:
        placement: Where it runs and with how many threads.
        slots: Runs that pay at one time; more only wait for each other.
        spare: Runs beyond these that may be handed over before a slot is free: they wait inside and
            start the moment that it is, where the next would first have to be fetched.
        batches: Batch sizes that it is made for, ascending from 1; None where it is for any. A
            batch of another size is answered too, in pieces.
        steps: What is still to be done until it is as quick as it can be; no answer needs it.
        low_latency: The same network arranged to answer one image as soon as can be while nothing
            else is in work; itself where no other way is quicker.
    """

    placement: Placement
    slots: int
    spare: int

    @property
    def steps(self) -> Sequence[Step]: ...

    @property
    def batches(self) -> tuple[int, ...] | None: ...

    @property
    def low_latency(self) -> Runtime: ...

    def run(self, pixels: np.ndarray) -> Outputs:
        """Score float32 (N, 1, 224, 224) in [0, 1]; a row's answer is its own."""
        ...


_MODULES = {
    "onnxruntime": "service.network.runtime.onnx_runtime",
    "openvino": "service.network.runtime.openvino_runtime",
    "torchscript": "service.network.runtime.torchscript",
}
PRECISIONS = {
    "onnxruntime": ("float32",),
    "openvino": ("float32", "bfloat16", "int8", "int8w7"),
    "torchscript": ("float32",),
}
"""What each runtime's file knows how to run."""


def unavailable_reason(variant: Variant, device: Device = "cpu") -> str | None:
    """Why a variant cannot run on this machine: package, instruction set or device.

    Returns:
        The reason, or None where nothing speaks against it.
    """
    if variant.precision not in PRECISIONS[variant.runtime]:
        return f"{variant.runtime} is not run in {variant.precision} here"
    if device == "cpu" and (reason := missing_instructions(variant.needs)):
        return reason
    try:
        module = import_module(_MODULES[variant.runtime])
    except ImportError as error:
        return f"{variant.runtime} is not installed here ({error.name})"
    ask: Callable[[Variant, Device], str | None] = module.unavailable_reason
    return ask(variant, device)


def load_runtime(
    folder: Path,
    variant: Variant,
    threads: int | None = None,
    device: Device = "cpu",
    streams: int | None = 1,
    max_batch: int = 8,
) -> Runtime:
    """Load a variant from a bundle's folder, without the golden pair, and do all its steps.

    Args:
        folder: Where the variant's files are.
        variant: What to load.
        threads: Threads for one run; None takes what the process may use.
        device: What to run on.
        streams: Runs at one time that share the threads; None as for `Placement`.
        max_batch: As for `Placement`.

    Raises:
        BundleRefused: The variant cannot run here, or its file cannot be loaded.
    """
    runtime = _open(folder, variant, threads, device, streams, max_batch)
    for step in runtime.steps:
        step(lambda _runtime, _images: None)
    return runtime


def _open(
    folder: Path,
    variant: Variant,
    threads: int | None,
    device: Device,
    streams: int | None,
    max_batch: int,
) -> Runtime:
    if reason := unavailable_reason(variant, device):
        raise BundleRefused(f"{variant.name} cannot run: {reason}")
    placement = Placement(threads or usable_cpus(), device, streams, max_batch)
    module: Any = import_module(_MODULES[variant.runtime])
    open_variant: Callable[[Path, Variant, Placement], Runtime] = module.open_variant
    return open_variant(folder, variant, placement)


def open_runtime(
    bundle: Bundle,
    variant: Variant,
    threads: int | None = None,
    device: Device = "cpu",
    streams: int | None = None,
    max_batch: int = 8,
    *,
    staged: bool = False,
) -> Runtime:
    """Load a variant of a verified bundle and check it with the golden pair.

    Args:
        bundle: The bundle.
        variant: What to load.
        threads: Threads for everything that runs at one time; None takes what the process may use.
        device: What to run on.
        streams: Runs at one time that share the threads; None as for `Placement`.
        max_batch: As for `Placement`.
        staged: Leave the runtime's steps to the caller.

    Raises:
        BundleRefused: The variant cannot run here, its file cannot be loaded, or it answers the
            golden input otherwise than the library did.
    """
    runtime = _open(bundle.folder, variant, threads, device, streams, max_batch)
    prove(runtime, bundle, variant)
    for step in () if staged else runtime.steps:
        step(golden_check(bundle, variant))
    return runtime


def golden_check(bundle: Bundle, variant: Variant) -> Check:
    """The check of a variant's runtimes with the golden pair."""

    def check(runtime: Runtime, images: int) -> None:
        prove(runtime, bundle, variant, images)

    return check


def ways(runtime: Runtime) -> Sequence[Runtime]:
    """A runtime and its low-latency twin, where it has one."""
    return (runtime,) if runtime.low_latency is runtime else (runtime.low_latency, runtime)


def batch_sizes(runtime: Runtime, most: int) -> tuple[int, ...]:
    """Batch sizes for a runtime, ascending from 1, none over `most`."""
    made_for = runtime.batches or range(1, most + 1)
    return tuple(size for size in made_for if size <= most)


def prove(runtime: Runtime, bundle: Bundle, variant: Variant, images: int | None = None) -> float:
    """Run the golden input and compare with the library's answer.

    Args:
        runtime: What is checked.
        bundle: Has the golden pair.
        variant: Has the tolerance.
        images: Of the batch, for which the pair is repeated or cut; as many as it has where None.

    Returns:
        The largest |probability difference| over all outputs.

    Raises:
        BundleRefused: It is over the variant's tolerance, or not a number.
    """
    pixels, logits = bundle.golden_pair()
    if images is not None:
        pixels, logits = (np.resize(rows, (images, *rows.shape[1:])) for rows in (pixels, logits))
    drift = float(np.max(np.abs(sigmoid(runtime.run(pixels).logits) - sigmoid(logits))))
    if not drift <= variant.golden_tolerance:
        raise BundleRefused(
            f"{variant.name} answers the golden input with a probability {drift:.4g} away from "
            f"the library's, over {variant.golden_tolerance:.4g}: not to be trusted here"
        )
    return drift
