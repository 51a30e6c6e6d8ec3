"""Listing the files of an archive, ordered by name.

A PATH is a file, a folder (every regular file in it and below, but hidden ones), a pattern that
the shell did not expand (`**` for any depth), a CSV file with a column `path` (relative to the
CSV file), or a DICOMDIR, which stands for the folder it lies in. Files are told apart by where
they lead: one that is named twice, or reached by two links, comes once, under its first name.
What was found but cannot be read (a dangling link, a closed folder) comes too: its row says so.
"""

from __future__ import annotations

import csv
import glob
import os
import sqlite3
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from service.errors import ArchiveRefused

DICOMDIR = "DICOMDIR"
"""The fixed name of the index of a DICOM medium (PS3.10, 8.6): no image, and nothing that the
files beside it do not say better."""

PATH_COLUMN = "path"


class Source(NamedTuple):
    """One file to score.

    Attributes:
        name: What results call it: its path below the folder that was named, with forward
            slashes; as a CSV file has it; or as it was named itself. Where several PATHs were
            named, the PATH stands in front.
        path: Where it is, absolute.
        size: Bytes, when it was listed; None where it could not be looked at or is no regular
            file.
        modified: Modification time in nanoseconds since 1970, likewise.
    """

    name: str
    path: str
    size: int | None = None
    modified: int | None = None


class Seen:
    """The set of listed paths, on disk to keep memory flat."""

    def __init__(self) -> None:
        self._taken = sqlite3.connect("", isolation_level=None)  # a file that nobody else sees
        self._taken.execute("PRAGMA synchronous = OFF")
        self._taken.execute("CREATE TABLE taken (path BLOB PRIMARY KEY) WITHOUT ROWID")
        self._taken.execute("BEGIN")

    def add(self, path: str) -> bool:
        """Add a path; True where it was new."""
        found = self._taken.execute("INSERT OR IGNORE INTO taken VALUES (?)", (os.fsencode(path),))
        return found.rowcount == 1

    def close(self) -> None:
        self._taken.close()


def list_sources(
    paths: Sequence[str],
    left_out: Sequence[Path] = (),
    on_skipped: Callable[[str], None] = lambda _name: None,
) -> Iterator[Source]:
    """List the files of an archive, each once, one folder at a time.

    Args:
        paths: As the user named them.
        left_out: Files and folders that are not looked at: what is being written.
        on_skipped: Told the name of each DICOMDIR.

    Raises:
        ArchiveRefused: A PATH leads nowhere, or is a CSV file that lists no files.
    """
    named = [place for path in paths for place in _places(path)]
    missing = [place for place in named if not os.path.lexists(place)]
    if missing:
        raise ArchiveRefused(f"{missing[0]}: no such file or folder, and no file matches it")
    with closing(Seen()) as seen:
        for path in left_out:
            seen.add(os.path.realpath(path))
        alone = len(named) == 1
        for place in named:
            yield from _sources(place, "" if alone else place, seen, on_skipped)


def _places(path: str) -> list[str]:
    """A PATH as it stands, or what it matches where nothing of that very name is there."""
    if os.path.lexists(path) or not glob.has_magic(path):
        return [_of_dicomdir(path)]
    return [_of_dicomdir(found) for found in sorted(glob.iglob(path, recursive=True))] or [path]


def _of_dicomdir(path: str) -> str:
    return os.path.dirname(path) or "." if os.path.basename(path) == DICOMDIR else path


def _sources(
    place: str, front: str, seen: Seen, on_skipped: Callable[[str], None]
) -> Iterator[Source]:
    if os.path.isdir(place):
        yield from _walk(place, front, seen, on_skipped)
    elif place.lower().endswith(".csv"):
        yield from _listed(place, bool(front), seen)
    elif seen.add(os.path.realpath(place)):
        yield _source(place, place)


def _walk(root: str, front: str, seen: Seen, on_skipped: Callable[[str], None]) -> Iterator[Source]:
    """The files of a folder and below, by name; each real folder is entered once."""
    # A folder is read only when its turn comes, and gives way to those found in it.
    waiting: deque[tuple[str, str]] = deque([(root, front)])
    while waiting:
        folder, name = waiting.popleft()
        real = os.path.realpath(folder)
        if not seen.add(real):
            continue
        try:
            entries = _entries(folder)
        except OSError:
            yield _source(name or folder, folder)
            continue
        below = []
        for entry in entries:
            entry_name = f"{name.rstrip(os.sep)}/{entry.name}" if name else entry.name
            if _leads_to_folder(entry):
                below.append((entry.path, entry_name))
            elif entry.name == DICOMDIR:
                on_skipped(_slashes(entry_name))
            elif entry.is_symlink():
                if seen.add(os.path.realpath(entry.path)):
                    yield _source(entry_name, entry.path)
            elif entry.is_file() and seen.add(os.path.join(real, entry.name)):
                yield _source(entry_name, entry.path)
        waiting.extendleft(reversed(below))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        shown = [entry for entry in found if not entry.name.startswith(".")]
    return sorted(shown, key=lambda entry: entry.name)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _listed(place: str, in_front: bool, seen: Seen) -> Iterator[Source]:
    folder = os.path.dirname(place)
    try:
        with open(place, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if PATH_COLUMN not in (rows.fieldnames or ()):
                raise ArchiveRefused(f"{place}: a CSV file of files needs a column {PATH_COLUMN!r}")
            for row in rows:
                listed = row[PATH_COLUMN]
                if not listed:
                    raise ArchiveRefused(f"{place}: line {rows.line_num} names no file")
                path = os.path.join(folder, listed)
                if seen.add(os.path.realpath(path)):
                    yield _source(path if in_front else listed, path)
    except OSError as error:
        raise ArchiveRefused(f"{place}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ArchiveRefused(f"{place} is no CSV file in UTF-8") from error


def printable(name: str) -> str:
    r"""A file's name as text: bytes in it that are no UTF-8 are written as `\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _source(name: str, path: str) -> Source:
    """A file as it is now."""
    name, path = _slashes(name), os.path.abspath(path)
    try:
        status = os.stat(path)
    except OSError:
        return Source(name, path)
    if not stat.S_ISREG(status.st_mode):
        return Source(name, path)
    return Source(name, path, status.st_size, status.st_mtime_ns)


def _slashes(name: str) -> str:
    return name.replace(os.sep, "/") if os.sep != "/" else name
