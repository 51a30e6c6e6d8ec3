"""Whose radiographs they are, and which patients are fitted on and which are judged on."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from export.errors import FitRefused
from export.evaluation.scoring import Scored, ScoredImage

EACH_ITS_OWN = (
    "no column names the patients, so every image counts as a patient of its own, files with the "
    "same pixels as one: where patients have several images, intervals are too narrow and the "
    "judgement is too kind"
)


def patients(images: Sequence[ScoredImage], column: str | None) -> np.ndarray:
    """The patient of each image, as text (N,).

    Args:
        images: That were scored.
        column: Of the table; the digest of the scored pixels where there is none.

    Raises:
        FitRefused: There is no such column, or it is empty for an image.
    """
    if column is None:
        return np.array([one.answer.image.sha256_pixels for one in images], str)
    names = []
    for one in images:
        if column not in one.image.groups:
            known = ", ".join(one.image.groups) or "none"
            raise FitRefused(f"no column is called {column}; beside the labels there are: {known}")
        if not one.image.groups[column]:
            raise FitRefused(f"{one.image.name} has no patient in column {column}")
        names.append(one.image.groups[column])
    return np.array(names, str)


def split(scored: Scored, column: str | None) -> tuple[Scored, Scored]:
    """Part images into those to fit on and those to judge on, every other patient each.

    Patients are dealt in the order of a digest of their names, those with the same findings
    apart: the same images are always parted alike, in whatever order they are listed.

    Raises:
        FitRefused: As for `patients`.
    """
    names = patients(scored.images, column)
    shown: dict[str, set[str]] = defaultdict(set)
    for name, one in zip(names.tolist(), scored.images, strict=True):
        shown[name].update(label for label, shows in one.image.labels.items() if shows)
    order = sorted(shown, key=lambda name: (sorted(shown[name]), _digest(name)))
    fitted_on = set(order[::2])
    sides = [
        tuple(
            one
            for name, one in zip(names.tolist(), scored.images, strict=True)
            if (name in fitted_on) == fitting
        )
        for fitting in (True, False)
    ]
    return replace(scored, images=sides[0]), replace(scored, images=sides[1])


def require_apart(fitted: Scored, judged: Scored, column: str | None) -> None:
    """Refuse images that were fitted on to be judged on.

    Raises:
        FitRefused: A patient, or the same pixels, is on both sides.
    """
    if column is not None:
        both = set(patients(fitted.images, column)) & set(patients(judged.images, column))
        if both:
            raise FitRefused(
                f"{len(both)} patients are on both sides, those fitted on and those judged on; "
                f"the first is {min(both)}"
            )
    pixels = set(patients(fitted.images, None))
    for one in judged.images:
        if one.answer.image.sha256_pixels in pixels:
            raise FitRefused(
                f"{one.image.name} has the same pixels as an image that is fitted on, under the "
                "name of another patient or file"
            )


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
