"""One file's row of the results: the same columns in every format."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from service.archive.sources import Source, printable
from service.errors import CxrError
from service.network.answer import ModelAnswer, Prediction

OK = "ok"
"""Status of a file that was scored; any other is the code of the error that refused it."""

Row = dict[str, Any]

Kind = Literal["text", "number", "count", "decision", "texts"]


@dataclass(frozen=True)
class Column:
    """A column of the results.

    Attributes:
        name: As written.
        kind: text, number (float32), count (int32), decision (true or false) or texts.
    """

    name: str
    kind: Kind


_FILE = (Column("path", "text"), Column("status", "text"), Column("message", "text"))
_MODEL = tuple(Column(name, "text") for name in ("model", "model_version", "runtime", "precision"))
_INPUT = (
    Column("input_verdict", "text"),
    Column("input_distance", "number"),
    Column("input_reasons", "texts"),
)
_IMAGE = (
    Column("width", "count"),
    Column("height", "count"),
    Column("format", "text"),
    Column("view", "text"),
    Column("intensity", "text"),
    Column("sha256_pixels", "text"),
    Column("warnings", "texts"),
)
_SITE = (Column("site_sha256", "text"),)
"""Only with a site file, as are the columns of its decisions."""
REPORT = Column("report", "text")
"""Only where structured reports are written: the file of it, below the folder of results."""


def columns(
    labels: Sequence[str], reports: bool = False, fitted: Collection[str] = ()
) -> tuple[Column, ...]:
    """The columns, in order.

    Args:
        labels: What the weights predict; "" predicts nothing.
        reports: Whether structured reports are written.
        fitted: Findings that the site file has; none without one.
    """
    found = []
    for label in filter(None, labels):
        stem = _stem(label)
        found += [Column(f"{stem}_probability", "number"), Column(f"{stem}_score", "number")]
        found += [Column(f"{stem}_positive", "decision")]
        if label in fitted:
            found += [Column(f"{stem}_calibrated_probability", "number")]
            found += [Column(f"{stem}_site_decision", "text")]
    site = _SITE if fitted else ()
    return (*_FILE, *_INPUT, *found, *_MODEL, *site, *_IMAGE, *([REPORT] if reports else []))


def scored(source: Source, answer: Prediction, report: str | None = None) -> Row:
    """The row of a file that was scored.

    Numbers are the float32 values that the service answers with, in the fewest digits that
    name them.
    """
    row: Row = {"path": printable(source.name), "status": OK} | _input(answer.input.model_dump())
    for label, found in answer.pathologies.items():
        stem = _stem(label)
        row[f"{stem}_probability"] = _short(found.probability)
        row[f"{stem}_score"] = _short(found.score)
        row[f"{stem}_positive"] = found.positive
        if found.site is not None:
            row[f"{stem}_calibrated_probability"] = _short(found.site.calibrated_probability)
            row[f"{stem}_site_decision"] = found.site.decision
    image = answer.image
    row |= _model(answer.model)
    if answer.site is not None:
        row["site_sha256"] = answer.site.sha256
    row |= {"width": image.width, "height": image.height, "format": image.format}
    row |= {"view": image.view, "intensity": image.intensity, "sha256_pixels": image.sha256_pixels}
    row["warnings"] = answer.warnings
    if report is not None:
        row[REPORT.name] = report
    return row


def refused(source: Source, fault: CxrError, model: ModelAnswer) -> Row:
    """The row of a refused file: the error's code and message, and how far it is where known."""
    row = {"path": printable(source.name), "status": fault.code, "message": fault.message}
    if "distance" in fault.detail:
        row |= _input({"verdict": "refused"} | fault.detail)
    return row | _model(model)


def to_line(row: Row, columns: Sequence[Column]) -> bytes:
    """A row as one line of JSON that has every column; the same row is always the same bytes."""
    full = {column.name: row.get(column.name) for column in columns}
    return json.dumps(full, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _input(judged: Mapping[str, Any]) -> Row:
    distance = judged["distance"]
    return {
        "input_verdict": judged["verdict"],
        "input_distance": None if distance is None else _short(distance),
        "input_reasons": judged["reasons"],
    }


def _model(model: ModelAnswer) -> Row:
    return {
        "model": model.name,
        "model_version": model.version,
        "runtime": model.runtime,
        "precision": model.precision,
    }


def _stem(label: str) -> str:
    return label.replace(" ", "_")


def _short(value: float) -> float:
    return float(str(np.float32(value)))
