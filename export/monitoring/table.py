"""The log of numbers, read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from export.errors import LogRefused
from service.serving.monitoring_row import SHADOW, SHADOW_VERSION, columns

SUFFIX = ".parquet"
MISSING = "(not said)"
DECISIONS = ("", "positive", "negative", "uncertain")
"""By place; the first is without a site file."""

_CALIBRATED = "_calibrated_probability"
_DERIVED = "_score"
"""A score is a rescaled probability: one of them is watched."""
_BUNDLES = ("model_version", SHADOW_VERSION)
_VALUES = {column.name: column.values for column in columns(()) if column.values}


@dataclass(frozen=True, eq=False)
class Numbers:
    """Rows of the log.

    Attributes:
        name: What they were named by, without its path.
        findings: Stems of the findings' columns.
        numbers: float64 (N,) by column, NaN where nothing is said.
        categories: Places in `names` (N,) by column.
        positive: bool (N,) by finding.
        decisions: Places in `DECISIONS` (N,) by finding.
        calibrated: float64 (N,) by finding, NaN without a site file.
        versions: The bundles and site files that answered.
        rows: N.
    """

    name: str
    findings: tuple[str, ...]
    numbers: dict[str, np.ndarray]
    categories: dict[str, np.ndarray]
    positive: dict[str, np.ndarray]
    decisions: dict[str, np.ndarray]
    calibrated: dict[str, np.ndarray]
    versions: tuple[str, ...]
    rows: int

    def names(self, column: str) -> tuple[str, ...]:
        """What a category may be, by its place."""
        return (MISSING, *_VALUES[column])

    def taken(self, rows: np.ndarray) -> Numbers:
        """Some of the rows, by their places."""
        parts = ("numbers", "categories", "positive", "decisions", "calibrated")
        kept: dict[str, Any] = {
            part: {name: values[rows] for name, values in getattr(self, part).items()}
            for part in parts
        }
        return replace(self, **kept, rows=len(rows))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images that the served bundle and its shadow have scored.

    Attributes:
        name: What they were named by, without its path.
        findings: Stems of the columns of the findings that both have.
        scores: float64 (N,) by finding, the served bundle's.
        shadow_scores: The shadow's.
        positive: bool (N,) by finding, the served bundle's.
        shadow_positive: The shadow's.
        served: Version of the served bundle.
        shadow: Version of the shadow.
        rows: N.
        of: Rows of the log, those without the shadow's numbers among them.
    """

    name: str
    findings: tuple[str, ...]
    scores: dict[str, np.ndarray]
    shadow_scores: dict[str, np.ndarray]
    positive: dict[str, np.ndarray]
    shadow_positive: dict[str, np.ndarray]
    served: str
    shadow: str
    rows: int
    of: int


def read_pairs(paths: Sequence[Path]) -> Pairs:
    """Read the images of a log that a shadow has scored too.

    Raises:
        LogRefused: There is none, it is not the service's log, or several bundles answered.
    """
    table, name = _read(paths), _name(paths)
    if SHADOW_VERSION not in table.column_names:
        raise LogRefused(f"{name} has no numbers of a shadow: CXR_SHADOW was not set")
    both = table.filter(table.column(SHADOW_VERSION).is_valid())
    if not both.num_rows:
        raise LogRefused(f"{name} has no image that the shadow has scored")
    bundles = sorted(set(zip(*(both.column(one).to_pylist() for one in _BUNDLES), strict=True)))
    if len(bundles) > 1:
        listed = ", ".join(f"{shadow} beside {served}" for served, shadow in bundles)
        raise LogRefused(f"{name} is of several bundles ({listed}): name the days of one pair")
    ending = f"_positive{SHADOW}"
    findings = [one.removesuffix(ending) for one in both.column_names if one.endswith(ending)]

    def values(column: str, kind: type) -> dict[str, np.ndarray]:
        return {
            one: np.array(both.column(column.format(one)).to_pylist(), kind) for one in findings
        }

    ((served, shadow),) = bundles
    return Pairs(
        name,
        tuple(findings),
        values("{}_score", float),
        values(f"{{}}_score{SHADOW}", float),
        values("{}_positive", bool),
        values(f"{{}}_positive{SHADOW}", bool),
        served,
        shadow,
        both.num_rows,
        table.num_rows,
    )


def read_log(paths: Sequence[Path]) -> Numbers:
    """Read folders and files of the log, all of them as one.

    Raises:
        LogRefused: There is no row, or it is not the service's log.
    """
    table = _read(paths)
    present = table.column_names
    findings = tuple(
        name.removesuffix("_positive") for name in present if name.endswith("_positive")
    )
    known = {column.name: column for column in columns([one.replace("_", " ") for one in findings])}
    if missing := [name for name in known if name not in present]:
        raise LogRefused(f"{paths[0]} is not the service's log: it has no column {missing[0]}")
    return _numbers(_name(paths), findings, table)


def _name(paths: Sequence[Path]) -> str:
    return " + ".join(path.name for path in paths)


def _read(paths: Sequence[Path]) -> pa.Table:
    """All rows of some folders and files, with the columns of every one of them.

    Raises:
        LogRefused: There is no row, or a file cannot be read.
    """
    files = sorted({str(file) for path in paths for file in _files(path)})
    if not files:
        raise LogRefused(f"{', '.join(map(str, paths))}: no file ends in {SUFFIX}")
    try:
        # By itself a dataset has the columns of its first file alone.
        schema = pa.unify_schemas([pq.read_schema(file) for file in files])
        table = ds.dataset(files, schema, format="parquet").to_table()
    except (OSError, pa.ArrowInvalid) as error:
        raise LogRefused(f"{paths[0]} cannot be read as Parquet: {error}") from error
    if not table.num_rows:
        raise LogRefused(f"{', '.join(map(str, paths))} has no row")
    return table


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in path.rglob(f"*{SUFFIX}") if not file.name.startswith(".")]
    return [path] if path.suffix == SUFFIX and path.is_file() else []


def _numbers(name: str, findings: tuple[str, ...], table: pa.Table) -> Numbers:
    def values(column: str) -> np.ndarray:
        return np.array(table.column(column).to_pylist(), float)

    def places(column: str, names: tuple[str, ...]) -> np.ndarray:
        """What is in none of the names is not said."""
        known = {each: place for place, each in enumerate(names)}
        return np.array([known.get(one, 0) for one in table.column(column).to_pylist()], int)

    def versions(column: str) -> set[str]:
        return {one for one in table.column(column).to_pylist() if one}

    numbers = {
        column.name: values(column.name)
        for column in columns([each.replace("_", " ") for each in findings])
        if column.kind in ("number", "count") and not column.name.endswith((_CALIBRATED, _DERIVED))
    }
    return Numbers(
        name,
        findings,
        numbers,
        {column: places(column, (MISSING, *_VALUES[column])) for column in _VALUES},
        {one: np.array(table.column(f"{one}_positive").to_pylist(), bool) for one in findings},
        {one: places(f"{one}_decision", DECISIONS) for one in findings},
        {one: values(f"{one}{_CALIBRATED}") for one in findings},
        tuple(sorted(versions("model_version") | versions("site_sha256"))),
        table.num_rows,
    )
