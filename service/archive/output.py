"""The output of an archive run and the record of its settings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from service.archive.formats import SUFFIXES
from service.archive.journal import SUFFIX

ResultsFormat = Literal["csv", "jsonl", "parquet", "dicom-sr", "fhir"]

REPORTS: tuple[ResultsFormat, ...] = ("dicom-sr", "fhir")
"""A file for each file that was scored, in a folder."""


@dataclass(frozen=True)
class Output:
    """Where results go.

    Attributes:
        out: As the user named it: a file, or for reports a folder.
        form: Of the results.
    """

    out: Path
    form: ResultsFormat

    @property
    def is_folder(self) -> bool:
        return self.form in REPORTS

    @property
    def journal(self) -> Path:
        """Folder of the results so far."""
        return self.out.with_name(self.out.name + SUFFIX)

    @property
    def table(self) -> Path:
        """The file of rows."""
        return table_in(self.out) if self.is_folder else self.out

    @property
    def record(self) -> Path:
        """What the results were made with, and how many of each status they hold."""
        return record_of(self.table)

    def kept_record(self) -> dict[str, Any] | None:
        """The record of finished results; None where there is none that can be read."""
        try:
            found = json.loads(self.record.read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def table_in(folder: Path) -> Path:
    """The file of rows in a folder of structured reports."""
    return folder / "results.jsonl"


def record_of(table: Path) -> Path:
    """The record beside a file of rows."""
    return table.with_name(table.name + ".run.json")


def format_of(out: Path) -> ResultsFormat | None:
    """The format that a file's suffix names; None where it names none."""
    return SUFFIXES.get(out.suffix.lower())
