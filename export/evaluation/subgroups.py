"""The same figures for parts of the images: by scanner, sex, age, view, folder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from export.evaluation.delong import area
from export.evaluation.operating_point import rate
from export.evaluation.records import Subgroup

MOST_VALUES = 20
"""A column with more different values is a number to be cut into quarters, or no subgroup."""
NOT_GIVEN = "(not given)"


def partition(column: str, values: Sequence[str]) -> tuple[list[str] | None, str | None]:
    """Name the part that each image belongs to.

    Numbers of many different values are cut at their quartiles.

    Returns:
        A name an image, or None and the reason why the column makes no subgroups.
    """
    given = [value for value in values if value]
    different = set(given)
    if not different or (len(different) == 1 and len(given) == len(values)):
        return None, f"column {column}: one value throughout"
    if len(different) <= MOST_VALUES:
        return [value or NOT_GIVEN for value in values], None
    try:
        numbers = np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        return None, f"column {column}: {len(different)} different values make no subgroups"
    if not np.isfinite(numbers[[bool(value) for value in values]]).all():
        return None, f"column {column}: not all of its numbers are finite"
    edges = np.unique(np.nanquantile(numbers, [0, 0.25, 0.5, 0.75, 1]))
    names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    names = [names[0], *(f"over {name}" for name in names[1:])]
    places = np.searchsorted(edges[1:-1], numbers)
    return [
        NOT_GIVEN if np.isnan(number) else names[place]
        for number, place in zip(numbers, places, strict=True)
    ], None


def subgroups(
    column: str,
    parts: Sequence[str],
    truth: np.ndarray,
    probabilities: np.ndarray,
    positive: np.ndarray | None,
) -> list[Subgroup]:
    """Figures of each part of the images, in the order in which numbers or names sort.

    Args:
        column: What they are parted by.
        parts: One name an image.
        truth: bool (N,).
        probabilities: float64 (N,).
        positive: bool (N,), decisions at the operating point; None where there is none.
    """
    names = np.array(parts)
    found = []
    for name in sorted(set(parts), key=_order):
        inside = names == name
        shows = truth[inside]
        decided = None if positive is None else positive[inside]
        found.append(
            Subgroup(
                column=column,
                value=name,
                images=int(inside.sum()),
                positives=int(shows.sum()),
                auc=area(shows, probabilities[inside]),
                sensitivity=None
                if decided is None
                else rate(int((decided & shows).sum()), int(shows.sum())),
                specificity=None
                if decided is None
                else rate(int((~decided & ~shows).sum()), int((~shows).sum())),
            )
        )
    return found


def _order(name: str) -> tuple[bool, float, str]:
    """Numbers by size, then words; what is not given comes last."""
    first = name.removeprefix("over ").split(" to ")[0]
    try:
        number = float(first)
    except ValueError:
        number = float("inf")
    return name == NOT_GIVEN, number, name
