"""The log of numbers that `cxr watch` reads: Parquet files, a folder a day.

A request hands its row over and goes on; a thread writes what has come, at the latest after
`FLUSH_SECONDS`. What does not fit or cannot be written is counted and dropped: the
log never delays and never fails a request.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.errors import SettingRefused
from service.metrics import MONITORING_ROWS
from service.network.answer import Prediction
from service.radiograph.radiograph import Source
from service.serving.monitoring_row import Value, columns, row, shadow_columns

if TYPE_CHECKING:
    import pyarrow as pa

FLUSH_SECONDS = 60.0
ROWS_A_FILE = 4096
MOST_ROWS = 4 * ROWS_A_FILE
"""That wait to be written, at the most."""

_SUFFIX = ".parquet"

log = logging.getLogger("cxr.monitoring")


class MonitoringLog:
    """Collects rows and writes them in a thread.

    Args:
        folder: Where; it is there and can be written to.
        labels: What the weights predict.
        shadow: What a shadow predicts of it; None where there is no shadow.
        flush_seconds: After which rows are written, however few.
    """

    def __init__(
        self,
        folder: Path,
        labels: Sequence[str],
        shadow: Sequence[str] | None = None,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._folder = folder
        self._schema = _schema(labels, shadow)
        self._flush_seconds = flush_seconds
        self._rows: deque[tuple[Value, ...]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._files = 0
        self._failing = False
        self._written = MONITORING_ROWS.labels("written")
        self._dropped = MONITORING_ROWS.labels("dropped")
        # A daemon: a disk that hangs must not keep the process from its end. Not of low priority:
        # it holds the interpreter's lock, and who waits for that would wait for all before it.
        self._thread = threading.Thread(target=self._write_on, name="monitoring", daemon=True)
        self._thread.start()

    def put(self, source: Source | None, answer: Prediction) -> None:
        """Hand an answer's numbers over."""
        self.add(row(time.time(), source, answer))

    def add(self, values: tuple[Value, ...]) -> None:
        """Hand a row over, with the shadow's values or without; in any thread."""
        if len(self._rows) >= MOST_ROWS:
            self._dropped.inc()
            return
        self._rows.append(values)
        if len(self._rows) == ROWS_A_FILE:
            self._wake.set()

    def close(self, seconds: float = 5.0) -> None:
        """Write what has come, for up to some seconds."""
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)

    def _write_on(self) -> None:
        while not self._closing:
            self._wake.wait(self._flush_seconds)
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        """Write the rows that are there, those of each day into its folder."""
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        for day, of_day in groupby(rows, key=_day):
            table = list(of_day)
            try:
                self._write(day, table)
            except Exception as error:  # whatever it is, the thread goes on
                self._dropped.inc(len(table))
                if not self._failing:  # said once, not a line a minute
                    log.error("the log of numbers cannot be written: %s", type(error).__name__)
                self._failing = True
            else:
                self._written.inc(len(table))
                self._failing = False

    def _write(self, day: str, rows: list[tuple[Value, ...]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = self._folder / f"day={day}"
        folder.mkdir(parents=True, exist_ok=True)
        empty = (None,) * len(self._schema)
        whole = [values + empty[len(values) :] for values in rows]
        arrays = [
            pa.array(values, field.type)
            for values, field in zip(zip(*whole, strict=True), self._schema, strict=True)
        ]
        # No other process and no earlier one of this number has the name.
        self._files += 1
        name = f"{time.time_ns():x}-{os.getpid()}-{self._files}{_SUFFIX}"
        unfinished = folder / f".{name}"
        pq.write_table(pa.Table.from_arrays(arrays, schema=self._schema), unfinished)
        unfinished.replace(folder / name)


def open_log(
    folder: Path | None, labels: Sequence[str], shadow: Sequence[str] | None = None
) -> MonitoringLog | None:
    """The log that the settings ask for, None where they ask for none.

    Args:
        folder: Where, if anywhere.
        labels: What the weights predict.
        shadow: As for `MonitoringLog`.

    Raises:
        SettingRefused: pyarrow is not installed, or the folder cannot be written to.
    """
    if folder is None:
        return None
    require_usable(folder)
    return MonitoringLog(folder, labels, shadow)


def require_usable(folder: Path) -> None:
    """Refuse a folder in which no log can be written.

    Raises:
        SettingRefused: pyarrow is not installed, or the folder cannot be written to.
    """
    if find_spec("pyarrow") is None:
        raise SettingRefused(
            "CXR_MONITORING_LOG needs pyarrow, which is not installed: "
            "pip install 'cxr-pneumonia[archive]'"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingRefused(
            f"CXR_MONITORING_LOG: {folder} cannot be written to: {error.strerror}"
        ) from error


def _schema(labels: Sequence[str], shadow: Sequence[str] | None = None) -> pa.Schema:
    import pyarrow as pa

    types: dict[str, Any] = {
        "time": pa.timestamp("s", tz="UTC"),
        "number": pa.float32(),
        "count": pa.int32(),
        "category": pa.string(),
        "decision": pa.bool_(),
    }
    listed = (*columns(labels), *(() if shadow is None else shadow_columns(shadow)))
    return pa.schema([(column.name, types[column.kind]) for column in listed])


def _day(values: tuple[Value, ...]) -> str:
    return datetime.fromtimestamp(float(values[0] or 0), timezone.utc).date().isoformat()
