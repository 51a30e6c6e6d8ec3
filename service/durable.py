"""Atomic, durable writing of files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

UNFINISHED = ".unfinished"
"""Suffix of a file that is being written; what is found of them is rubbish."""


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that gets its name once its content is on disk."""
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically and durably."""
    with written_whole(path) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
