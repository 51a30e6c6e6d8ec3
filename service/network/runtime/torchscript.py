"""TorchScript on PyTorch; the runtime with gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from service.errors import BundleRefused
from service.network.bundle import Variant
from service.network.runtime import Outputs, Placement
from service.settings import Device


class TorchScriptRuntime:
    """A traced network."""

    slots = 1
    spare = 0
    batches = None
    steps = ()

    def __init__(self, network: torch.jit.ScriptModule, placement: Placement) -> None:
        self._network = network
        self.placement = placement

    @property
    def low_latency(self) -> TorchScriptRuntime:
        return self

    def run(self, pixels: np.ndarray) -> Outputs:
        with torch.inference_mode():
            outputs = self._network(torch.from_numpy(pixels))
        return Outputs(*(output.numpy() for output in outputs))


def unavailable_reason(variant: Variant, device: Device) -> str | None:
    """Why TorchScript cannot run a variant on a device here; None where it can."""
    return None if device == "cpu" else f"TorchScript is run on the CPU only, not on {device}"


def open_variant(folder: Path, variant: Variant, placement: Placement) -> TorchScriptRuntime:
    """Open a TorchScript file.

    Raises:
        BundleRefused: PyTorch cannot load it.
    """
    return TorchScriptRuntime(load_network(folder / variant.files[0], placement.threads), placement)


def load_network(path: Path, threads: int | None) -> torch.jit.ScriptModule:
    """Load a traced network for the CPU, in evaluation mode, parameters frozen.

    Raises:
        BundleRefused: PyTorch cannot load it.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        network = torch.jit.load(path, map_location="cpu").eval()
    except RuntimeError as error:
        raise BundleRefused(f"{path} cannot be loaded by PyTorch: {error}") from error
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network
