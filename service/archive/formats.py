"""Results as CSV, JSON lines or Parquet: the same rows are always the same bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import IO, Any, Literal

from service.archive.rows import Column

Format = Literal["csv", "jsonl", "parquet"]

SUFFIXES: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}

ROWS_A_GROUP = 4096
"""Rows of a Parquet row group: what is in memory at one time."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell starts with that a spreadsheet runs (OWASP, CSV Injection)."""

Lines = Iterable[bytes]
"""Rows as `service.archive.rows.to_line` writes them."""


def write(form: Format, lines: Lines, columns: Sequence[Column], out: IO[bytes]) -> None:
    """Write rows, one after another, into an open file.

    Raises:
        ModuleNotFoundError: Parquet is asked for and pyarrow is not installed.
    """
    _WRITERS[form](lines, columns, out)


def _write_jsonl(lines: Lines, _columns: Sequence[Column], out: IO[bytes]) -> None:
    out.writelines(lines)


def _write_csv(lines: Lines, columns: Sequence[Column], out: IO[bytes]) -> None:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="")
    # As RFC 4180 ends lines; Python quotes a lone carriage return only where lines end so.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([column.name for column in columns])
    for row in map(json.loads, lines):
        writer.writerow([_cell(row[column.name]) for column in columns])
    text.detach()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        value = " | ".join(value)
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return repr(value)


def _write_parquet(lines: Lines, columns: Sequence[Column], out: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "text": pa.string(),
        "number": pa.float32(),
        "count": pa.int32(),
        "decision": pa.bool_(),
        "texts": pa.list_(pa.string()),
    }
    schema = pa.schema([(column.name, types[column.kind]) for column in columns])
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for group in _groups(lines):
            table = pa.Table.from_pylist(group, schema=schema)
            writer.write_table(table, row_group_size=ROWS_A_GROUP)


def _groups(lines: Lines) -> Iterator[list[dict[str, Any]]]:
    rows = map(json.loads, lines)
    while group := list(islice(rows, ROWS_A_GROUP)):
        yield group


_WRITERS: dict[Format, Callable[[Lines, Sequence[Column], IO[bytes]], None]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
