"""The journal of a run: finished shards beside the output, for a restart.

    results.parquet.partial/
        lock             held by the process that writes
        files.jsonl      the files, in order
        header.json      what the results are made with; with it the journal begins
        shards/000007.jsonl      the rows of one shard, written whole
        reports/…        structured reports, where they are asked for

A shard is there with all its rows or not at all, so that a process that was killed leaves
nothing to repair. The results are put together once every shard is there, and take their name in
one step; the journal goes when they have it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from service.archive.listing import Listing, read_listing
from service.durable import UNFINISHED, sync_folder, write_whole
from service.errors import ArchiveRefused

SUFFIX = ".partial"
_HEADER, _FILES, _LOCK, _SHARDS, _REPORTS = (
    "header.json",
    "files.jsonl",
    "lock",
    "shards",
    "reports",
)


class Journal:
    """The journal's folder; locked by one process at a time.

    Args:
        folder: Where it is, or will be.

    Raises:
        ArchiveRefused: Another process has it open, or it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: IO[bytes] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / _LOCK).open("ab")
        except OSError as error:
            raise ArchiveRefused(f"{folder} cannot be written: {error.strerror}") from error
        if not _hold(self._lock):
            self._lock.close()
            raise ArchiveRefused(f"{folder} is in use: another process writes these results")

    @property
    def files(self) -> Path:
        """Where the list of files is kept."""
        return self.folder / _FILES

    @property
    def reports(self) -> Path:
        """Folder of the structured reports."""
        return self.folder / _REPORTS

    def header(self) -> dict[str, Any] | None:
        """The journal's header; None where the journal has not begun."""
        try:
            found = json.loads((self.folder / _HEADER).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def listing(self) -> Listing:
        """The files that the journal began with."""
        return read_listing(self.files)

    def begin(self, listing: Listing, header: Mapping[str, Any]) -> Listing:
        """Begin with a listing; earlier content is removed.

        Returns:
            The listing in the place where it is kept.
        """
        self._drop(_HEADER)
        self._drop_shards()
        shutil.rmtree(self.reports, ignore_errors=True)
        listing.file.replace(self.files)
        (self.folder / _SHARDS).mkdir(exist_ok=True)
        sync_folder(self.folder)
        write_whole(self.folder / _HEADER, _as_json(header))
        return replace(listing, file=self.files)

    def done(self) -> frozenset[int]:
        """Numbers of the shards that are there."""
        found = (self.folder / _SHARDS).glob("*.jsonl")
        return frozenset(int(path.stem) for path in found if path.stem.isdecimal())

    def commit(
        self, number: int, lines: Sequence[bytes], reports: Mapping[str, bytes] | None = None
    ) -> None:
        """Keep the rows of a shard for good, and the reports that they name."""
        for name, data in (reports or {}).items():
            path = self.reports / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
        write_whole(self._shard(number), b"".join(lines))

    def rows(self, listing: Listing, size: int) -> Iterator[bytes]:
        """The rows of all shards, in order.

        Raises:
            ArchiveRefused: A shard has not as many rows as it has files; it is taken away, so
                that the next run makes it again.
        """
        for number, first in enumerate(range(0, listing.count, size)):
            path = self._shard(number)
            lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
            if len(lines) != min(size, listing.count - first):
                path.unlink(missing_ok=True)
                raise ArchiveRefused(
                    f"{path} is damaged and was taken away; the same command makes it again"
                )
            yield from lines

    def remove(self) -> None:
        """Remove the journal, its header first, so that a rest of it is never continued.

        Nothing is removed that it did not write.
        """
        self._drop(_HEADER)
        sync_folder(self.folder)
        self._drop_shards()
        for path in (*self.folder.glob(f"*{UNFINISHED}"), self.files):
            path.unlink(missing_ok=True)
        self._drop(_LOCK)
        for folder in (self.reports, self.folder):
            _remove_empty(folder)
        self.close()

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _shard(self, number: int) -> Path:
        return self.folder / _SHARDS / f"{number:06}.jsonl"

    def _drop(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def _drop_shards(self) -> None:
        folder = self.folder / _SHARDS
        for path in folder.glob("*.jsonl*"):
            path.unlink()
        _remove_empty(folder)


def _as_json(found: Mapping[str, Any]) -> bytes:
    return json.dumps(found, indent=1).encode() + b"\n"


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # not there, or it holds what is not the journal's
        return


def _hold(lock: IO[bytes]) -> bool:
    """Take the lock; the system releases it when the process ends."""
    try:
        import fcntl
    except ImportError:  # Windows: two processes at a time are the user's to avoid
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return os.fstat(lock.fileno()).st_nlink > 0  # removed by the one that had it
