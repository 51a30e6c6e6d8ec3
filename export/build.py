"""Building a bundle: every graph is written, held against the library, and only then published."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from export.errors import ParityFailed
from export.evidence import Evidence, gather
from export.graphs import ONNX, TORCHSCRIPT, trace, write_onnx, write_torchscript
from export.network import ExportableNetwork
from export.parity import BATCH_SIZES, MAX_LOGIT_DIFFERENCE, Deviation, compare, eager_reference
from export.publish import publish, record_files, staging
from export.upstream import EagerAnswer, eager_network
from export.weights import Weights
from service.bundle import FORMAT, Golden, Manifest, Variant, WeightsRecord, bundle_version
from service.runtime import load_runtime

GOLDEN = "golden.npz"
PARITY = "parity.json"
GOLDEN_SIZE = 2
FLOAT32_GOLDEN_TOLERANCE = 1e-4

Report = Callable[[str], None]
"""Takes one line of progress."""

_TOOLS = ("torch", "torchxrayvision", "onnx", "onnxruntime", "openvino", "nncf", "numpy")

FLOAT32_VARIANTS = (
    Variant(
        name="onnxruntime-float32",
        runtime="onnxruntime",
        precision="float32",
        files=(ONNX,),
        golden_tolerance=FLOAT32_GOLDEN_TOLERANCE,
    ),
    Variant(
        name="torchscript-float32",
        runtime="torchscript",
        precision="float32",
        files=(TORCHSCRIPT,),
        golden_tolerance=FLOAT32_GOLDEN_TOLERANCE,
    ),
)


@dataclass(frozen=True)
class Export:
    """What an export leaves behind."""

    folder: Path
    manifest: Manifest


def export_bundle(
    weights: Weights,
    out: Path,
    images: Path | None,
    report: Report,
    limit: float = MAX_LOGIT_DIFFERENCE,
) -> Export:
    """Export weights into a verified bundle.

    Args:
        weights: Verified weights.
        out: Folder of bundles; this one becomes `out / weights.name`.
        images: Folder of radiographs to compare on beside the phantoms.
        report: Told of each step.
        limit: Largest |logit difference| of a float32 graph, relative beyond a logit of 1.

    Raises:
        ParityFailed: A graph is out of tolerance; nothing was published.
    """
    library = eager_network(weights)
    evidence = gather(images)
    for refused in evidence.refused:
        report(f"not compared, {refused}")
    report(f"eager network on {len(evidence.pixels)} images")
    reference = eager_reference(library, evidence)
    with staging(out, weights.name) as staged:
        report("tracing; writing TorchScript and ONNX")
        traced = trace(ExportableNetwork(library))
        write_torchscript(traced, staged)
        write_onnx(traced, staged)
        golden = _write_golden(staged, evidence, reference)
        bias = library.classifier.bias.numpy(force=True)
        parity = {
            variant.name: _hold(staged, variant, weights, evidence, reference, bias, report)
            for variant in FLOAT32_VARIANTS
        }
        (staged / PARITY).write_text(
            json.dumps(
                {
                    "against": "torchxrayvision.models.DenseNet, eager PyTorch",
                    "images": list(evidence.names),
                    "refused": list(evidence.refused),
                    "limit_logit": limit,
                    "variants": {
                        name: [deviation.as_json() for deviation in deviations]
                        for name, deviations in parity.items()
                    },
                },
                indent=2,
            )
            + "\n",
            encoding="utf-8",
        )
        faults = [
            f"{name}, {fault}"
            for name, deviations in parity.items()
            for deviation in deviations
            for fault in deviation.faults(limit)
        ]
        if faults:
            raise ParityFailed("no parity, nothing published: " + "; ".join(faults))
        manifest = _manifest(staged, weights, golden)
        return Export(publish(staged, manifest, out), manifest)


def _write_golden(staged: Path, evidence: Evidence, reference: EagerAnswer) -> Golden:
    logits = reference.logits[:GOLDEN_SIZE]
    np.savez_compressed(staged / GOLDEN, pixels=evidence.pixels[:GOLDEN_SIZE], logits=logits)
    digest = hashlib.sha256(logits.astype("<f4").tobytes()).hexdigest()
    return Golden(file=GOLDEN, sha256_logits=digest)


def _hold(
    staged: Path,
    variant: Variant,
    weights: Weights,
    evidence: Evidence,
    reference: EagerAnswer,
    bias: np.ndarray,
    report: Report,
) -> list[Deviation]:
    """Compare one variant with the library at every batch size."""
    runtime = load_runtime(staged, variant)
    deviations = []
    for size in BATCH_SIZES:
        deviation = compare(
            runtime, reference, evidence, weights.labels, weights.operating_points, bias, size
        )
        report(
            f"{variant.name}, batch size {size}: |logit difference| <= {deviation.max_logit:.2g}, "
            f"{deviation.changed_decisions} changed decisions"
        )
        deviations.append(deviation)
    return deviations


def _manifest(staged: Path, weights: Weights, golden: Golden) -> Manifest:
    files = record_files(staged)
    return Manifest(
        format=FORMAT,
        name=weights.name,
        version=bundle_version(weights.sha256, files),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        architecture="torchxrayvision.models.DenseNet (DenseNet-121, 18 outputs)",
        labels=weights.labels,
        operating_points=tuple(
            None if math.isnan(point) else point for point in weights.operating_points
        ),
        input={"name": "pixels", "dtype": "float32", "shape": ["N", 1, 224, 224], "range": [0, 1]},
        outputs={"logits": ["N", 18], "cams": ["N", 18, 7, 7]},
        weights=WeightsRecord(
            name=weights.name,
            source=weights.url or weights.source,
            sha256=weights.sha256,
            licence=weights.licence,
            demo=weights.demo,
            training_ages=weights.training_ages,
        ),
        files=files,
        variants=FLOAT32_VARIANTS,
        chosen=FLOAT32_VARIANTS[0].name,
        explainer=TORCHSCRIPT,
        golden=golden,
        tools=_tool_versions(),
    )


def _tool_versions() -> dict[str, str]:
    found = {}
    for name in _TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
