"""Bundles that are not the demo's: its float32 network, changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.bundle.publish import record_files
from service.network.bundle import MANIFEST, Bundle, bundle_version, read_manifest
from service.network.runtime import load_runtime

Change = Callable[[onnx.ModelProto], None]


def other_bundle(
    bundle: Path, out: Path, change: Change, labels: tuple[str, ...] = (), golden: float = 0.0
) -> Path:
    """A bundle of one variant, OpenVINO in float32, with its own golden output.

    Args:
        bundle: The demo bundle, left as it is.
        out: The folder to make.
        change: What becomes of the graph.
        labels: What its outputs are called; as the demo's where left out.
        golden: How far its golden output is off.
    """
    folder = Path(shutil.copytree(bundle, out))
    for file in folder.glob("network.int8*"):
        file.unlink()
    graph = onnx.load(folder / "network.onnx")
    change(graph)
    onnx.save(graph, folder / "network.onnx")
    manifest = read_manifest(bundle)
    variant = manifest.variant("openvino", "float32")
    pixels, _ = Bundle(folder, manifest).golden_pair()
    logits = load_runtime(folder, variant, 1).run(pixels).logits + np.float32(golden)
    np.savez(folder / manifest.golden.file, pixels=pixels, logits=logits)
    files = record_files(folder)
    other = manifest.model_copy(
        update={
            "name": "next",
            "files": {name: record for name, record in files.items() if name != MANIFEST},
            "version": bundle_version(manifest.weights.sha256, files, manifest.measured),
            "variants": (variant,),
            "chosen": variant.name,
            "ranking": (variant.name,),
            "labels": labels or manifest.labels,
        }
    )
    (folder / MANIFEST).write_text(other.model_dump_json(), encoding="utf-8")
    return folder


def unchanged(graph: onnx.ModelProto) -> None:
    """The demo's own network, in float32."""


def add_to_logits(logit: float) -> Change:
    """A network that has every logit higher by so much."""

    def change(graph: onnx.ModelProto) -> None:
        graph.graph.initializer.append(numpy_helper.from_array(np.float32(logit), "added"))
        _insert(graph, [helper.make_node("Add", ["logits_before", "added"], ["logits"])])

    return change


def fail_over(logit: float) -> Change:
    """A network whose logits are not numbers where the highest of them is over so much."""

    def change(graph: onnx.ModelProto) -> None:
        constants = {"highest": np.float32(logit), "nothing": np.float32(0)}
        for name, value in constants.items():
            graph.graph.initializer.append(numpy_helper.from_array(value, name))
        _insert(
            graph,
            [
                helper.make_node("ReduceMax", ["logits_before"], ["max"], axes=[1]),
                helper.make_node("Sub", ["highest", "max"], ["left"]),
                helper.make_node("Sqrt", ["left"], ["root"]),
                helper.make_node("Mul", ["root", "nothing"], ["zero"]),
                helper.make_node("Add", ["logits_before", "zero"], ["logits"]),
            ],
        )

    return change


def _insert(graph: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Put nodes between the network and its output `logits`."""
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = ["logits_before" if name == "logits" else name for name in names]
    graph.graph.node.extend(nodes)
