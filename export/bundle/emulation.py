"""Running a reduced precision on a processor that has no instructions for it.

Slower than float32 and nearly the same numbers: enough to hold a variant against the library where
it is exported, so that what a bundle holds does not depend on the exporting machine.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.bundle.network import ExportableNetwork
from service.network.bundle import Variant
from service.network.runtime import Outputs, Placement, Runtime
from service.network.runtime.fixed_batches import FixedBatches
from service.network.runtime.openvino_core import core
from service.network.runtime.openvino_runtime import OpenVinoRuntime
from service.network.runtime.threads import usable_cpus

INT8 = "levels of 8 bits, computed in float32 by OpenVINO"
BFLOAT16 = "activations and weights rounded to bfloat16, computed in float32 by PyTorch"


def emulate(folder: Path, variant: Variant, library: torch.nn.Module) -> tuple[Runtime, str]:
    """Load a variant so that this processor can run it.

    Args:
        folder: Where its files are.
        variant: Of OpenVINO, in a reduced precision.
        library: The library's network.

    Returns:
        What runs it, and how, for the record.
    """
    placement = Placement(usable_cpus())
    if variant.precision == "bfloat16":
        return RoundedToBfloat16(library, placement), BFLOAT16
    # Without its low-precision transformations OpenVINO runs each quantiser as the arithmetic
    # that it stands for, and the layers between them in float32.
    config = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": placement.threads,
        "LP_TRANSFORMS_MODE": "NO",
    }
    network = core().read_model(folder / variant.files[0])
    # With the size of a batch left open its answers are wrong then (OpenVINO 2026.4).
    network.reshape([1, *network.input("pixels").partial_shape[1:]])
    model = core().compile_model(network, "CPU", config)
    return FixedBatches({1: OpenVinoRuntime(model, placement, streams=1)}), INT8


class RoundedToBfloat16:
    """The network in PyTorch, each layer's weights and output rounded to bfloat16.

    Sums are in float32, as they are in a processor's own bfloat16 products.
    """

    slots = 1
    spare = 0
    batches = None
    steps = ()

    def __init__(self, library: torch.nn.Module, placement: Placement) -> None:
        self.placement = placement
        self._network = ExportableNetwork(copy.deepcopy(library))
        for weights in self._network.parameters():
            weights.copy_(_rounded(weights))
        for layer in self._network.modules():
            if not list(layer.children()):
                layer.register_forward_hook(lambda _layer, _given, found: _rounded(found))

    @property
    def low_latency(self) -> RoundedToBfloat16:
        return self

    def run(self, pixels: np.ndarray) -> Outputs:
        with torch.inference_mode():
            return Outputs(*(found.numpy() for found in self._network(torch.from_numpy(pixels))))


def _rounded(values: Any) -> Any:
    return values.bfloat16().float()
