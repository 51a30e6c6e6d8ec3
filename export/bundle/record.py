"""parity.json and parity.html of a bundle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from export.bundle.candidate_check import CheckedCandidate
from export.bundle.check_images import CheckImages
from export.bundle.report import VariantReport, write_page
from export.checkpoints.eager import EagerAnswer
from export.checkpoints.weights import Weights
from service.network.bundle import SpeedTable

PARITY = "parity.json"
PAGE = "parity.html"
MEASURED = (PARITY, PAGE)
"""What another machine measures otherwise."""


def write_records(
    folder: Path,
    weights: Weights,
    evidence: CheckImages,
    reference: EagerAnswer,
    tried: Sequence[CheckedCandidate],
    kept_out: dict[str, str],
    speed: SpeedTable,
    chosen: str,
    limit: float,
    max_drift: float,
) -> None:
    """Write the measured differences of every variant as JSON and as HTML."""
    record = {
        "against": "torchxrayvision.models.DenseNet, eager PyTorch",
        "images": list(evidence.names),
        "refused": list(evidence.refused),
        "limit_logit": limit,
        "limit_probability": max_drift,
        "variants": {
            one.variant.name: [found.as_json() for found in one.deviations] for one in tried
        },
        "between_batch_sizes": {one.variant.name: one.between_batches for one in tried},
        "drift": {one.variant.name: [found.as_json() for found in one.drift] for one in tried},
        "emulated": {one.variant.name: one.emulated for one in tried if one.emulated},
        "kept_out": kept_out,
    }
    (folder / PARITY).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    names = {one.variant.name for one in tried}
    page = write_page(
        f"{weights.name} ({weights.sha256[:12]})",
        reference.logits,
        [index for index, label in enumerate(weights.labels) if label],
        [
            VariantReport(one.variant.name, one.logits, one.drift, kept_out.get(one.variant.name))
            for one in tried
        ],
        {name: reason for name, reason in kept_out.items() if name not in names},
        speed,
        chosen,
    )
    (folder / PAGE).write_text(page, encoding="utf-8")
