"""A CSV table of paths, labels and subgroups."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from export.errors import DatasetRefused
from export.evaluation.dataset import Dataset, LabelledImage
from service.commands.finding import normalised

PATH_COLUMNS = ("path", "file", "filename", "image")
PATHOLOGIES = (
    "Atelectasis",
    "Consolidation",
    "Infiltration",
    "Pneumothorax",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Effusion",
    "Pneumonia",
    "Pleural_Thickening",
    "Cardiomegaly",
    "Nodule",
    "Mass",
    "Hernia",
    "Lung Lesion",
    "Fracture",
    "Lung Opacity",
    "Enlarged Cardiomediastinum",
)
"""What the library's networks may name (`torchxrayvision.datasets.default_pathologies`)."""

_VALUES = {"1": True, "1.0": True, "0": False, "0.0": False, "": None}


def read_table(table: Path, named: Sequence[str]) -> Dataset:
    """Read a table: a column of paths, label columns, and whatever else as subgroups.

    Args:
        table: CSV with a header, UTF-8. The column `path` (or file, filename, image) is
            absolute or relative to the table's folder. A column named as a pathology holds 1, 0
            or, where it is not known, nothing.
        named: Pathologies that the weights name; labels of others are left out.

    Raises:
        DatasetRefused: The message names the line and the column.
    """
    header, rows = _read(table)
    path_column = next((name for name in header if name.casefold() in PATH_COLUMNS), None)
    if path_column is None:
        raise DatasetRefused(
            f"{table}: no column is called {', '.join(PATH_COLUMNS[:-1])} or {PATH_COLUMNS[-1]}; "
            f"there are {', '.join(header)}"
        )
    known = {normalised(name): name for name in (*PATHOLOGIES, *named)}
    labels = {name: known[normalised(name)] for name in header if normalised(name) in known}
    used = {name: label for name, label in labels.items() if label in named}
    if not used:
        raise DatasetRefused(
            f"{table}: no column is named as a pathology that these weights predict "
            f"({', '.join(named)})"
        )
    groups = [name for name in header if name != path_column and name not in labels]
    images: list[LabelledImage] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        written = row[path_column].strip()
        name = _relative(table, line, written)
        if name in lines:
            raise DatasetRefused(f"{table}, line {line}: {name} is in line {lines[name]} already")
        lines[name] = line
        images.append(
            LabelledImage(
                name,
                table.parent / written,
                {
                    label: value
                    for column, label in used.items()
                    if (value := _label(table, line, column, row[column])) is not None
                },
                {column: row[column].strip() for column in groups},
            )
        )
    if not images:
        raise DatasetRefused(f"{table} has a header and no line below it")
    left_out = tuple(
        f"column {name}: these weights do not predict it" for name in labels if name not in used
    )
    return Dataset(table.name, "table", tuple(images), tuple(used.values()), left_out)


def _read(table: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The header, and each row with its line number."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if row]
    except UnicodeDecodeError as error:
        raise DatasetRefused(f"{table} is not text in UTF-8") from error
    except csv.Error as error:
        raise DatasetRefused(f"{table} is no CSV: {error}") from error
    except OSError as error:
        raise DatasetRefused(f"{table} cannot be read: {error.strerror}") from error
    if not any(header):
        raise DatasetRefused(f"{table} is empty")
    keys = [normalised(name) for name in header]
    if twice := next((name for name in header if keys.count(normalised(name)) > 1), None):
        raise DatasetRefused(f"{table}: the column {twice} is there twice")
    for line, row in rows:
        if len(row) != len(header):
            raise DatasetRefused(
                f"{table}, line {line}: {len(row)} cells under {len(header)} columns"
            )
    return header, [(line, dict(zip(header, row, strict=True))) for line, row in rows]


def _label(table: Path, line: int, column: str, cell: str) -> bool | None:
    value = cell.strip()
    if value not in _VALUES:
        raise DatasetRefused(
            f"{table}, line {line}, column {column}: {value!r} is no label; 1 means that it shows "
            "the finding, 0 that it does not, nothing that it is not known"
        )
    return _VALUES[value]


def _relative(table: Path, line: int, written: str) -> str:
    """The path as reports show it: relative to the table, so that no report tells of a machine."""
    if not written:
        raise DatasetRefused(f"{table}, line {line}: the path is missing")
    path = Path(written)
    if path.is_absolute():
        path = Path(os.path.relpath(path, table.parent.resolve()))
    return path.as_posix()
