"""The list of an archive's files, kept beside its results: what a restart goes by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from service.archive.durable import written_whole
from service.archive.sources import Source


@dataclass(frozen=True)
class Listing:
    """A list of files on disk, one JSON array `[name, path]` a line.

    Attributes:
        file: Where it is.
        count: Files listed.
        sha256: Of its bytes: names the files and their order.
    """

    file: Path
    count: int
    sha256: str

    def __iter__(self) -> Iterator[Source]:
        with self.file.open(encoding="ascii") as lines:
            for line in lines:
                yield Source(*json.loads(line))


def write_listing(file: Path, sources: Iterable[Source]) -> Listing:
    """Write the list of `sources`, in their order."""
    digest = hashlib.sha256()
    count = 0
    with written_whole(file) as out:
        for source in sources:
            # As ASCII: names may hold line feeds and bytes that are no text.
            line = json.dumps([source.name, source.path]).encode("ascii") + b"\n"
            digest.update(line)
            out.write(line)
            count += 1
    return Listing(file, count, digest.hexdigest())


def read_listing(file: Path) -> Listing:
    """The listing that a file holds."""
    digest = hashlib.sha256()
    count = 0
    with file.open("rb") as lines:
        for line in lines:
            digest.update(line)
            count += 1
    return Listing(file, count, digest.hexdigest())


@dataclass(frozen=True)
class Task:
    """The files of one shard.

    Attributes:
        number: Of the shard, from 0.
        sources: In order.
    """

    number: int
    sources: tuple[Source, ...]


def tasks(listing: Listing, size: int, done: frozenset[int] = frozenset()) -> Iterator[Task]:
    """Cut a listing into shards of `size` files, the last one shorter, less those `done`."""
    remaining = iter(listing)
    number = 0
    while sources := tuple(islice(remaining, size)):
        if number not in done:
            yield Task(number, sources)
        number += 1
