"""What every peer has in common: decoding a file with Pillow, and the network in two runtimes.

Nothing here imports the service: it is what somebody without it would write.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Network = Callable[[np.ndarray], np.ndarray]
SIDE = 224
CORES = len(os.sched_getaffinity(0))


def knob(name: str, default: int) -> int:
    """A number that was tuned: PEER_NAME from the environment, else what was found best."""
    return int(os.environ.get(f"PEER_{name}", default))


def runtime() -> str:
    """The runtime to use, "onnxruntime" or "openvino"."""
    return os.environ.get("PEER_RUNTIME", "onnxruntime")


def decode(data: bytes) -> np.ndarray:
    """An image file as (1, 224, 224) float32 in [0, 1]: grey, centred square, resized."""
    image = Image.open(io.BytesIO(data)).convert("L")
    return to_pixels(image)


def to_pixels(image: Image.Image) -> np.ndarray:
    """An opened image likewise."""
    grey = image.convert("L")
    side = min(grey.size)
    left, top = (grey.width - side) // 2, (grey.height - side) // 2
    square = grey.crop((left, top, left + side, top + side))
    if side != SIDE:
        square = square.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(square, np.float32)[None] / np.float32(255)


def open_network(threads: int, streams: int = 1) -> Network:
    """The network in the runtime that the environment names.

    Args:
        threads: For the runtime in this process.
        streams: Runs at one time that share the threads (OpenVINO only).

    Returns:
        A function of pixels, float32 (N, 1, 224, 224) in [0, 1], to probabilities (N, 18); several
        threads may call it at once.
    """
    file = Path(os.environ.get("PEER_NETWORK", "models/demo/network.onnx"))
    if runtime() == "openvino":
        return _openvino(file, threads, streams)
    return _onnx_runtime(file, threads)


def _onnx_runtime(file: Path, threads: int) -> Network:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # ONNX Runtime's page on threads: turn spinning off where other work needs the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", str(knob("SPIN", 0)))
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda pixels: _sigmoid(session.run(["logits"], {"pixels": pixels})[0])


def _openvino(file: Path, threads: int, streams: int) -> Network:
    import openvino

    # 8-bit layers are 8-bit either way. Left unsaid, the others would be bfloat16 on processors
    # that have it: another network than the one measured beside it.
    precision = "bf16" if knob("BFLOAT16", 0) else "f32"
    config = {
        "PERFORMANCE_HINT": "THROUGHPUT" if streams > 1 else "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,  # two processes would pin their threads to the same core
    }
    model = openvino.Core().compile_model(file, "CPU", config)
    own = threading.local()  # a request serves one thread at a time, says OpenVINO's guide

    def run(pixels: np.ndarray) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = model.create_infer_request()
        own.request.infer({"pixels": pixels}, share_inputs=True)
        return _sigmoid(own.request.get_tensor("logits").data)

    return run


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))
