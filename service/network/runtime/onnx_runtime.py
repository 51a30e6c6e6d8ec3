"""ONNX Runtime: on the CPU anywhere, on NVIDIA GPUs where its GPU build is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from service.errors import BundleRefused
from service.network.bundle import Variant
from service.network.runtime import Outputs, Placement
from service.settings import Device

# TensorFloat-32 keeps 10 bits of a float32's 23: a float32 variant would not be one.
_CUDA = ("CUDAExecutionProvider", {"use_tf32": "0"})
_PROVIDERS: dict[Device, list[str | tuple[str, dict[str, str]]]] = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": [_CUDA, "CPUExecutionProvider"],
    "tensorrt": [
        ("TensorrtExecutionProvider", {"trt_fp16_enable": "0"}),
        _CUDA,
        "CPUExecutionProvider",
    ],
}


class OnnxRuntime:
    """A session over one ONNX file; a session may be run from several threads at once."""

    slots = 1
    spare = 0
    batches = None
    steps = ()

    def __init__(self, session: Any, placement: Placement) -> None:
        self._session = session
        self.placement = placement

    @property
    def low_latency(self) -> OnnxRuntime:
        return self

    def run(self, pixels: np.ndarray) -> Outputs:
        return Outputs(*self._session.run(["logits", "cams", "features"], {"pixels": pixels}))


def unavailable_reason(variant: Variant, device: Device) -> str | None:
    """Why ONNX Runtime cannot run a variant on a device here; None where it can."""
    if device not in _PROVIDERS:
        return f"ONNX Runtime knows no device {device} here; it has cpu, cuda and tensorrt"
    provider = _PROVIDERS[device][0]
    name = provider if isinstance(provider, str) else provider[0]
    if name not in onnxruntime.get_available_providers():
        return f"this build of ONNX Runtime has no {name} (pip install onnxruntime-gpu)"
    return None


def open_variant(folder: Path, variant: Variant, placement: Placement) -> OnnxRuntime:
    """Open an ONNX file.

    Raises:
        BundleRefused: ONNX Runtime cannot load it, or not on that device.
    """
    path = folder / variant.files[0]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = placement.threads
    # An idle pool that spins would take the cores from decoding and from other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    providers = _PROVIDERS[placement.device]
    try:
        session = onnxruntime.InferenceSession(path, sess_options=options, providers=providers)
    except Exception as error:  # its exception classes share no base but this one
        raise BundleRefused(f"{path} cannot be loaded by ONNX Runtime: {error}") from error
    wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
    # Where a GPU's libraries are missing it falls back to the CPU and says so only in its log.
    if wanted not in session.get_providers():
        raise BundleRefused(
            f"ONNX Runtime could not start {wanted}: its driver or libraries are missing"
        )
    return OnnxRuntime(session, placement)
