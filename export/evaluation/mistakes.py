"""The decisions that are wrong by the widest margin, and where the network looked for them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from export.evaluation.records import Mistake
from export.evaluation.scoring import Scored, ScoredImage
from service.archive.pipeline import read_file
from service.explain.cam.class_map import class_activation_map
from service.explain.drawing.heat_map import BESIDE, overlay
from service.explain.hotspot import describe_hotspot, directions, locate
from service.radiograph.reader import RadiographReader

MOST = 6
"""Of each kind that are shown."""
SIDE = 320
"""Longer side of a picture in pixels."""


@dataclass(frozen=True)
class Pictures:
    """A mistake as the page shows it, both as data URIs of JPEG files.

    Attributes:
        plain: The radiograph.
        heat: With the heat map of the finding over it; None where the map is empty.
    """

    plain: str
    heat: str | None


def most_confident(scored: Scored, label: str) -> tuple[list[Mistake], int]:
    """Wrong decisions at the operating point, those furthest from it first.

    Returns:
        At most `MOST` false positives, then as many false negatives; and how many there are.
    """
    column = scored.pathologies.index(label)
    truth, scores = scored.truth(label), scored.scores[:, column]
    wrong = scored.known(label) & (scored.positive[:, column] != truth)
    rows = [int(row) for row in np.flatnonzero(wrong)]
    # Equal scores keep the dataset's order: the report is the same on every run.
    rows.sort(key=lambda row: -abs(scores[row] - 0.5))
    found = []
    for shows in (False, True):
        for row in [row for row in rows if truth[row] == shows][:MOST]:
            one = scored.images[row]
            values = heat_map(one, column)
            found.append(
                Mistake(
                    file=one.image.name,
                    kind="false negative" if shows else "false positive",
                    probability=float(scored.probabilities[row, column]),
                    score=float(scores[row]),
                    place=None if values is None else _place(one, values),
                )
            )
    return found, len(rows)


def heat_map(one: ScoredImage, column: int) -> np.ndarray | None:
    """The class activation map of a pathology, float32 (7, 7) in [0, 1]; None where it is empty."""
    found = class_activation_map(one.cams, np.zeros(len(one.cams), np.float32), column)
    return None if found.empty else found.normalised()


def _place(one: ScoredImage, values: np.ndarray) -> str:
    where = locate(values, one.geometry)
    return describe_hotspot(where, one.geometry, directions(one.orientation))


def draw(
    scored: Scored, label: str, mistakes: tuple[Mistake, ...], reader: RadiographReader
) -> list[Pictures]:
    """Read the files of some mistakes again and draw them small."""
    column = scored.pathologies.index(label)
    images = {one.image.name: one for one in scored.images}
    found = []
    for mistake in mistakes:
        one = images[mistake.file]
        data = read_file(one.image.path, reader.limits)
        with reader.reading(data, reader.memory.claim(beside=BESIDE), reduce=True) as radiograph:
            values = heat_map(one, column)
            heat = None if values is None else _data_uri(overlay(radiograph, values, one.geometry))
            found.append(Pictures(_data_uri(overlay(radiograph, None, one.geometry)), heat))
    return found


def _data_uri(image: Image.Image) -> str:
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
