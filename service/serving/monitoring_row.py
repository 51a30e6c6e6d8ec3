"""One row of the log of numbers: a closed list of columns, none of which identifies anybody.

No name, identifier, date or time of the patient, the study or the device is among them, and no
digest of pixels or of a file, by which an image could be found again. The time is the answer's own,
to the minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from service.network.answer import Prediction
from service.network.scores import Finding
from service.radiograph.dicom.acquisition import MANUFACTURERS, OTHER, SEXES
from service.radiograph.dicom.suitability import MODALITIES
from service.radiograph.radiograph import Source

Kind = Literal["time", "number", "count", "category", "decision"]
Value = float | int | bool | str | None

PHOTOMETRIC = (
    *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422"),
    *("YBR_ICT", "YBR_RCT", "grey", "CMYK", "palette"),
)
VIEWS = ("AP", "PA")
SHADOW_VERSION = "shadow_version"
SHADOW = "_shadow"
"""Ends the names of the shadow's numbers."""


@dataclass(frozen=True)
class Column:
    """A column of the log.

    Attributes:
        name: As written.
        kind: time (seconds since 1970, UTC), number (float32), count (int32), category (text of
            a closed list) or decision (true or false).
        values: What a category may be, None among it; empty for other kinds.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()


_FIRST = (Column("time", "time"), Column("model_version", "category"))
_SITE = Column("site_sha256", "category")
_INPUT = (
    Column("input_verdict", "category", ("usual", "unusual", "unknown")),
    Column("input_distance", "number"),
)
_FACTS = (
    Column("modality", "category", tuple(sorted(MODALITIES))),
    Column("manufacturer", "category", MANUFACTURERS),
    Column("photometric_interpretation", "category", (*PHOTOMETRIC, OTHER)),
    Column("view", "category", VIEWS),
    Column("sex", "category", SEXES),
    Column("age_decade", "count"),
    Column("bits", "count"),
    Column("width", "count"),
    Column("height", "count"),
)


def columns(labels: Sequence[str]) -> tuple[Column, ...]:
    """The columns, in order, for weights that predict `labels` ("" predicts nothing)."""
    found: list[Column] = [*_FIRST, _SITE, *_INPUT, *_FACTS]
    for label in filter(None, labels):
        stem = label.replace(" ", "_")
        found += [Column(f"{stem}_probability", "number"), Column(f"{stem}_score", "number")]
        found += [Column(f"{stem}_positive", "decision")]
        found += [Column(f"{stem}_calibrated_probability", "number")]
        found += [
            Column(f"{stem}_decision", "category", ("positive", "negative", "uncertain")),
        ]
    return tuple(found)


def shadow_columns(labels: Sequence[str]) -> tuple[Column, ...]:
    """The columns behind these that a log has with a shadow; `labels` are those of both bundles."""
    found = [Column(SHADOW_VERSION, "category")]
    for label in labels:
        stem = label.replace(" ", "_")
        found += [Column(f"{stem}_probability{SHADOW}", "number")]
        found += [Column(f"{stem}_score{SHADOW}", "number")]
        found += [Column(f"{stem}_positive{SHADOW}", "decision")]
    return tuple(found)


def shadow_values(version: str, found: Iterable[Finding]) -> tuple[Value, ...]:
    """The values of `shadow_columns`: the shadow's version, and its findings in their order."""
    values: list[Value] = [version]
    for one in found:
        values += (one.probability, one.score, one.positive)
    return tuple(values)


def row(seconds: float, source: Source | None, answer: Prediction) -> tuple[Value, ...]:
    """The values of an answer, in the order of the columns.

    Args:
        seconds: Since 1970, when it was answered.
        source: What the file said of its image.
        answer: The answer.
    """
    image = answer.image
    photometric = image.photometric_interpretation
    values: list[Value] = [
        int(seconds) // 60 * 60,
        answer.model.version,
        answer.site.sha256 if answer.site else None,
        answer.input.verdict,
        answer.input.distance,
        source.modality if source and source.modality in MODALITIES else None,
        source.manufacturer if source else None,
        photometric if photometric in PHOTOMETRIC else OTHER,
        image.view if image.view in VIEWS else None,
        source.sex if source else None,
        source.age_decade if source else None,
        image.bits,
        image.width,
        image.height,
    ]
    for found in answer.pathologies.values():
        site = found.site
        values += (found.probability, found.score, found.positive)
        values += (site.calibrated_probability, site.decision) if site else (None, None)
    return tuple(values)
