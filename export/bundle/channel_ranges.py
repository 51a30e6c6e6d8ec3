"""Ranges of activations, the same on every x86 processor with AVX2.

Kernels of different instruction sets add up in different orders, and ranges that differ in their
last digit make quantised weights of other bytes. So the network is run in a process of its own in
which OpenVINO's kernels are held to AVX2.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

from service.network.runtime.openvino_core import core

BATCH = 8

Ranges = dict[str, tuple[np.ndarray, np.ndarray]]
"""Lowest and highest value of every channel of a node, each float32 (1, C, 1, 1)."""

_FEWER_INSTRUCTIONS = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
"""Read when the library is loaded (oneDNN, CPU dispatcher control)."""


def channel_ranges(onnx: Path, names: Sequence[str], images: np.ndarray) -> Ranges:
    """Take the ranges of some nodes over images.

    Args:
        onnx: The float32 network.
        names: Of its nodes, as OpenVINO calls them.
        images: float32 (N, 1, 224, 224) in [0, 1].
    """
    with tempfile.TemporaryDirectory(prefix="cxr-ranges-") as temporary:
        folder = Path(temporary)
        np.savez(folder / "asked.npz", names=np.array(names), images=images)
        subprocess.run(  # noqa: S603
            [sys.executable, "-m", __name__, onnx, folder],
            env=os.environ | _FEWER_INSTRUCTIONS,
            check=True,
        )
        with np.load(folder / "ranges.npz") as found:
            return {name: (found[f"low{at}"], found[f"high{at}"]) for at, name in enumerate(names)}


def measure(onnx: Path, names: Sequence[str], images: np.ndarray) -> Ranges:
    """The same with the kernels of this process."""
    watched = core().read_model(onnx)
    nodes = {node.get_friendly_name(): node for node in watched.get_ordered_ops()}
    over = np.array([0, 2, 3])
    results = [
        ops.result(reduce(nodes[name].output(0), over, keep_dims=True))
        for name in names
        for reduce in (ops.reduce_min, ops.reduce_max)
    ]
    model = core().compile_model(
        openvino.Model(results, watched.get_parameters()),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},
    )
    request = model.create_infer_request()
    found: Ranges = {}
    for start in range(0, len(images), BATCH):
        request.infer([images[start : start + BATCH]])
        for index, name in enumerate(names):
            low = request.get_output_tensor(2 * index).data.copy()
            high = request.get_output_tensor(2 * index + 1).data.copy()
            if name in found:
                low, high = np.minimum(low, found[name][0]), np.maximum(high, found[name][1])
            found[name] = low, high
    return found


def main(onnx: str, folder: str) -> None:
    """Answer what `channel_ranges` asks."""
    with np.load(Path(folder) / "asked.npz") as asked:
        found = measure(Path(onnx), asked["names"].tolist(), asked["images"])
    ends: dict[str, Any] = {
        f"{end}{at}": values
        for at, pair in enumerate(found.values())
        for end, values in zip(("low", "high"), pair, strict=True)
    }
    np.savez(Path(folder) / "ranges.npz", **ends)


if __name__ == "__main__":
    main(*sys.argv[1:])
