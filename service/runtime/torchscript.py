"""TorchScript on PyTorch; the slowest way to predict, and the one that has gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from service.errors import BundleRefused
from service.runtime import Outputs


class TorchScriptRuntime:
    """A traced network."""

    def __init__(self, network: torch.jit.ScriptModule) -> None:
        self._network = network

    def run(self, pixels: np.ndarray) -> Outputs:
        with torch.inference_mode():
            logits, cams = self._network(torch.from_numpy(pixels))
        return Outputs(logits.numpy(), cams.numpy())


def open_variant(path: Path, threads: int | None) -> TorchScriptRuntime:
    """Open a TorchScript file.

    Raises:
        BundleRefused: PyTorch cannot load it.
    """
    return TorchScriptRuntime(load_network(path, threads))


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
