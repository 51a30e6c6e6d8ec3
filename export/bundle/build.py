"""Building a bundle: write every graph, compare it with the library, publish."""

from __future__ import annotations

import copy
import hashlib
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from export.bundle.candidate_check import CandidateCheck
from export.bundle.check_images import CheckImages, gather
from export.bundle.drift import MAX_PROBABILITY_DIFFERENCE
from export.bundle.graphs import TORCHSCRIPT, trace, write_onnx, write_torchscript
from export.bundle.network import ExportableNetwork
from export.bundle.parity import MAX_LOGIT_DIFFERENCE, eager_reference
from export.bundle.publish import publish, record_files, staging
from export.bundle.record import MEASURED, write_records
from export.bundle.speed import autotune
from export.bundle.variants import REFERENCES
from export.checkpoints.eager import eager_network, run_eager
from export.checkpoints.weights import DEMO_REFERENCE, Weights
from export.errors import ParityFailed
from service.network.bundle import (
    FEATURES,
    FORMAT,
    OUTPUTS,
    Golden,
    Manifest,
    SpeedTable,
    Variant,
    WeightsRecord,
    bundle_version,
)
from service.network.reference import load_reference

GOLDEN = "golden.npz"
REFERENCE = "reference.npz"
GOLDEN_SIZE = 2

Report = Callable[[str], None]
"""Takes one line of progress."""

_TOOLS = ("torch", "torchxrayvision", "onnx", "onnxruntime", "openvino", "nncf", "numpy")


@dataclass(frozen=True)
class Export:
    """The result of an export."""

    folder: Path
    manifest: Manifest


def export_bundle(
    weights: Weights,
    out: Path,
    images: Path | None,
    report: Report,
    limit: float = MAX_LOGIT_DIFFERENCE,
    max_drift: float = MAX_PROBABILITY_DIFFERENCE,
    calibration: Path | None = None,
    reference: Path | None = None,
) -> Export:
    """Export weights into a verified bundle.

    Args:
        weights: Verified weights.
        out: Folder of bundles; this one becomes `out / weights.name`.
        images: Folder of radiographs to compare on beside the phantoms.
        report: Told of each step.
        limit: Largest |logit difference| of a float32 graph, as in `export.bundle.parity`.
        max_drift: Largest |probability difference| of a graph in reduced precision.
        calibration: Folder of radiographs to quantise by, beside the phantoms.
        reference: File that `cxr reference` wrote for these weights; of the demo weights, their
            own where left out.

    Raises:
        BundleRefused: The reference cannot be read or belongs to other weights.
        CalibrationRefused: The folder to quantise by holds no radiograph.
        ParityFailed: A graph that every bundle needs is out of tolerance; nothing was published.
    """
    if reference is None and weights.demo:
        reference = DEMO_REFERENCE
    if reference is not None:
        load_reference(reference, weights.sha256)
    library = eager_network(weights)
    evidence = gather(images)
    for refused in evidence.refused:
        report(f"not compared, {refused}")
    report(f"eager network on {len(evidence.pixels)} images")
    answers = eager_reference(library, evidence)
    with staging(out, weights.name) as staged:
        report("tracing; writing TorchScript and ONNX")
        traced = trace(ExportableNetwork(library))
        write_torchscript(traced, staged)
        write_onnx(traced, staged)
        if reference is not None:
            shutil.copyfile(reference, staged / REFERENCE)
        golden = _write_golden(staged, evidence, library)
        trial = CandidateCheck(staged, weights, evidence, answers, library, report)
        held = [trial.hold(variant) for variant in REFERENCES]
        if faults := [fault for one in held for fault in one.parity_faults(limit)]:
            raise ParityFailed("no parity, nothing published: " + "; ".join(faults))
        tried, kept_out = trial.candidates(limit, max_drift, calibration)
        passed = [one.variant for one in tried if one.variant.name not in kept_out]
        # PyTorch is not part of a serving install, so what needs it is never the choice.
        speed, ranking = autotune(staged, [REFERENCES[0], *passed], report)
        report(f"chosen: {ranking[0]}")
        write_records(
            staged,
            weights,
            evidence,
            answers,
            [*held, *tried],
            kept_out,
            speed,
            ranking[0],
            limit,
            max_drift,
        )
        manifest = _manifest(
            staged, weights, golden, (*REFERENCES, *passed), kept_out, speed, ranking
        )
        return Export(publish(staged, manifest, out), manifest)


def _write_golden(staged: Path, evidence: CheckImages, library: torch.nn.Module) -> Golden:
    """Write some images and the library's answers.

    These are computed in float64 and stored in float32, so that they are the same digits whichever
    processor computes them.
    """
    pixels = evidence.pixels[:GOLDEN_SIZE]
    exact = copy.deepcopy(library).double()
    exact.op_threshs = None  # the library scales scores in float32 only, and none is needed
    logits = run_eager(exact, pixels).logits.astype(np.float32)
    np.savez_compressed(staged / GOLDEN, pixels=pixels, logits=logits)
    digest = hashlib.sha256(logits.astype("<f4").tobytes()).hexdigest()
    return Golden(file=GOLDEN, sha256_logits=digest)


def _manifest(
    staged: Path,
    weights: Weights,
    golden: Golden,
    variants: tuple[Variant, ...],
    kept_out: dict[str, str],
    speed: SpeedTable,
    ranking: tuple[str, ...],
) -> Manifest:
    files = record_files(staged)
    return Manifest(
        format=FORMAT,
        name=weights.name,
        version=bundle_version(weights.sha256, files, MEASURED),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        architecture="torchxrayvision.models.DenseNet (DenseNet-121, 18 outputs)",
        labels=weights.labels,
        operating_points=tuple(
            None if math.isnan(point) else point for point in weights.operating_points
        ),
        input={"name": "pixels", "dtype": "float32", "shape": ["N", 1, 224, 224], "range": [0, 1]},
        outputs={
            "logits": ["N", OUTPUTS],
            "cams": ["N", OUTPUTS, 7, 7],
            "features": ["N", FEATURES],
        },
        weights=WeightsRecord(
            name=weights.name,
            source=weights.url or weights.source,
            sha256=weights.sha256,
            licence=weights.licence,
            demo=weights.demo,
            training_ages=weights.training_ages,
        ),
        files=files,
        measured=MEASURED,
        variants=variants,
        chosen=ranking[0],
        ranking=ranking,
        kept_out=kept_out,
        speed=speed,
        explainer=TORCHSCRIPT,
        reference=REFERENCE if REFERENCE in files else None,
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
