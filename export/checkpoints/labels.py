"""Labels and operating points of a checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from export.checkpoints.checkpoint import Checkpoint, read_bytes
from export.checkpoints.upstream import Official
from export.errors import WeightsRefused

FINDING = "Pneumonia"
"""The label without which weights are of no use here."""

OUTPUTS = 18
"""Outputs of every published DenseNet (`torchxrayvision.datasets.default_pathologies`)."""


def parse_labels(value: object, origin: str) -> tuple[str, ...]:
    """Labels from JSON or a pickled module, checked.

    Raises:
        WeightsRefused: Not 18 strings, one that occurs twice, or none that is "Pneumonia".
    """
    if not isinstance(value, Sequence) or not all(isinstance(label, str) for label in value):
        raise WeightsRefused(f"{origin}: the labels are not a list of strings.")
    labels = tuple(value)
    named = [label for label in labels if label]
    if len(labels) != OUTPUTS:
        raise WeightsRefused(f"{origin}: {len(labels)} labels for {OUTPUTS} outputs.")
    if len(set(named)) != len(named):
        raise WeightsRefused(f"{origin}: a label occurs twice.")
    if FINDING not in named:
        raise WeightsRefused(f'{origin}: no output is labelled "{FINDING}".')
    return labels


def parse_operating_points(value: object, origin: str) -> tuple[float, ...]:
    """Operating points from JSON (None for none) or a pickled module (NaN), checked.

    Raises:
        WeightsRefused: Not 18 numbers, or one outside (0, 1).
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise WeightsRefused(f"{origin}: the operating points are not a list.")
    if len(value) != OUTPUTS:
        raise WeightsRefused(f"{origin}: {len(value)} operating points for {OUTPUTS} outputs.")
    points = []
    for index, point in enumerate(value):
        if point is not None and (isinstance(point, bool) or not isinstance(point, int | float)):
            raise WeightsRefused(f"{origin}: operating point {index} is not a number.")
        number = math.nan if point is None else float(point)
        if not (math.isnan(number) or 0 < number < 1):
            raise WeightsRefused(f"{origin}: operating point {index} is {number:g}, not in (0, 1).")
        points.append(number)
    return tuple(points)


def of_file(
    path: Path, read: Checkpoint, like: Official | None
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Labels and operating points of a checkpoint file, from the first source that states them.

    Args:
        path: The file; a JSON file of the same name beside it is looked at.
        read: What the file holds.
        like: Official weights that it shares them with, asked first.

    Raises:
        WeightsRefused: Nothing states them, two sources name other labels, or "Pneumonia" has
            no operating point and so could never be positive.
    """
    sources = _sources(path, read, like)
    labels = [
        (name, parse_labels(stated, name)) for name, stated, _ in sources if stated is not None
    ]
    points = [
        parse_operating_points(stated, name) for name, _, stated in sources if stated is not None
    ]
    if not labels or not points:
        lacking = " and ".join(
            what for what, given in (("labels", labels), ("operating points", points)) if not given
        )
        raise WeightsRefused(
            f"{path.name} states no {lacking}. Give --like with the official name that it shares "
            f'them with, or write {path.with_suffix(".json")}: {{"labels": [{OUTPUTS} strings, "" '
            f'where nothing is predicted], "op_threshs": [{OUTPUTS} numbers or null]}}.',
            code="labels_unknown",
        )
    first, chosen = labels[0]
    for name, other in labels[1:]:
        if other != chosen:
            raise WeightsRefused(f"{first} and {name} do not name the same labels.")
    if math.isnan(points[0][chosen.index(FINDING)]):
        raise WeightsRefused(f"{path.name}: {FINDING} has no operating point.")
    return chosen, points[0]


def _sources(
    path: Path, read: Checkpoint, like: Official | None
) -> list[tuple[str, object, object]]:
    """Name, labels and operating points of every source, the one that counts most first."""
    sources: list[tuple[str, object, object]] = []
    if like:
        sources.append((like.name, like.labels, like.operating_points))
    sidecar = path.with_suffix(".json")
    if sidecar.is_file():
        try:
            report = json.loads(read_bytes(sidecar))
            sources.append((sidecar.name, report.get("labels"), report.get("op_threshs")))
        except (ValueError, AttributeError) as error:
            raise WeightsRefused(f"{sidecar} is no JSON object.") from error
    sources.append((path.name, read.labels, read.operating_points))
    return sources
