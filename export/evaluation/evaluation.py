"""From answers to a report."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from export.errors import EvaluationFailed
from export.evaluation.comparison import compare
from export.evaluation.dataset import Dataset
from export.evaluation.finding import finding
from export.evaluation.records import Data, Options, Report, Site
from export.evaluation.scoring import Scored
from export.evaluation.subgroups import partition
from export.evaluation.training_sets import judge
from service import __version__
from service.network.answer import DEMO_WARNING
from service.network.bundle import Manifest
from service.network.site import SiteFile

SAME_IMAGES = (
    "Intervals take the images as independent of one another: several images of one patient make "
    "them narrower than they should be."
)


def evaluate(
    dataset: Dataset,
    scored: Scored,
    manifest: Manifest,
    options: Options,
    declared: str | None,
    others: Mapping[str, Scored],
    site: SiteFile | None = None,
) -> Report:
    """Put a report together.

    Args:
        dataset: What was evaluated.
        scored: Its answers.
        manifest: Of the bundle that answered.
        options: What was asked for.
        declared: The collection that the images are said to be from.
        others: Other variants' answers by name.
        site: What was fitted to the site; None where nothing was.

    Raises:
        EvaluationFailed: No image was scored.
    """
    if not scored.images:
        raise EvaluationFailed(_nothing(scored))
    parts, left_out = parts_of(scored)
    points = dict(zip(manifest.labels, manifest.operating_points, strict=True))
    order = sorted(scored.pathologies, key=lambda label: label != options.target)
    warnings = [SAME_IMAGES]
    if scored.model.demo:
        warnings.insert(0, DEMO_WARNING)
    return Report(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        software=__version__,
        model=scored.model,
        site=Site(sha256=site.sha256, created=site.created) if site else None,
        data=Data(
            name=dataset.name,
            kind=dataset.kind,
            files=len(scored.images) + len(scored.refused),
            scored=len(scored.images),
            sha256=scored.digest,
            left_out=(*dataset.left_out, *left_out, *_not_compared(scored, others)),
        ),
        training=judge(scored.model.weights, declared),
        options=options,
        findings=tuple(
            finding(
                label,
                scored,
                points[label],
                options,
                parts,
                site.findings.get(label) if site else None,
            )
            for label in order
        ),
        comparisons=tuple(compare(name, scored, other) for name, other in others.items()),
        refused=scored.refused,
        warnings=tuple(warnings),
    )


def write_predictions(scored: Scored, path: Path) -> None:
    """Write one row an image, so that every figure can be computed again elsewhere.

    Columns: file, sha256_pixels, and of each pathology P: `P` (1, 0, or nothing where it is not
    known), `P probability`, `P score`, `P positive`, and with a site file that has it
    `P calibrated probability`, `P site decision`. Numbers have all their digits.
    """
    header = ["file", "sha256_pixels"]
    for label in scored.pathologies:
        header += [label, f"{label} probability", f"{label} score", f"{label} positive"]
        if label in scored.fitted:
            header += [f"{label} calibrated probability", f"{label} site decision"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for one in scored.images:
            row: list[object] = [one.image.name, one.answer.image.sha256_pixels]
            for label in scored.pathologies:
                shows = one.image.labels.get(label)
                found = one.answer.pathologies[label]
                row += ["" if shows is None else int(shows), repr(found.probability)]
                row += [repr(found.score), int(found.positive)]
                if found.site is not None:
                    row += [repr(found.site.calibrated_probability), found.site.decision]
            writer.writerow(row)


def parts_of(scored: Scored) -> tuple[dict[str, Sequence[str]], list[str]]:
    """The subgroup of each image by column: the dataset's own, and what the files tell."""
    columns: dict[str, list[str]] = {
        column: [one.image.groups[column] for one in scored.images]
        for column in scored.images[0].image.groups
    }
    told = {
        "view position": [one.answer.image.view or "" for one in scored.images],
        "file format": [one.answer.image.format for one in scored.images],
    }
    parts: dict[str, Sequence[str]] = {}
    left_out = []
    for column, values in {**told, **columns}.items():
        names, reason = partition(column, values)
        if names is not None:
            parts[column] = names
        elif column in columns and reason and column != "folder":
            left_out.append(reason)
    return parts, left_out


def _not_compared(scored: Scored, others: Mapping[str, Scored]) -> list[str]:
    return [
        f"{name} beside it: does not predict {label}"
        for name, other in others.items()
        for label in scored.pathologies
        if label not in other.pathologies
    ]


def _nothing(scored: Scored) -> str:
    reasons: dict[str, int] = {}
    for one in scored.refused:
        reasons[f"{one.code}: {one.message}"] = reasons.get(f"{one.code}: {one.message}", 0) + 1
    listed = "; ".join(f"{count} x {reason}" for reason, count in reasons.items())
    return f"no image could be scored, so there is nothing to evaluate: {listed}"
