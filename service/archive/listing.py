"""The list of an archive's files, kept beside its results, by which a restart continues."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from service.archive.sources import Source, printable
from service.durable import written_whole

_EXAMPLES = 3
"""Names that are told of each kind of change."""


@dataclass(frozen=True)
class Listing:
    """A list of files on disk, one JSON array `[name, path, size, modified]` a line.

    Attributes:
        file: Where it is.
        count: Files listed.
        sha256: Of its bytes: names the files as they were and their order.
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
            line = json.dumps(source).encode("ascii") + b"\n"
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
class Changes:
    """How two listings differ.

    Attributes:
        changed: Files of both with another size, modification time or name in the results.
        added: Files of the second one alone.
        removed: Files of the first one alone.
        examples: Up to three names of each of these kinds, in this order.
    """

    changed: int
    added: int
    removed: int
    examples: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]

    def in_words(self) -> str:
        """Such as "2 changed (a.png, b.png), 1 removed (c.png)"."""
        counts = (self.changed, self.added, self.removed)
        kinds = ("changed", "added", "removed")
        parts = [
            f"{count:,} {kind} ({', '.join(names)}{', …' if count > len(names) else ''})"
            for count, kind, names in zip(counts, kinds, self.examples, strict=True)
            if count
        ]
        return ", ".join(parts) or "the same files in another order"


def changes(before: Listing, now: Listing) -> Changes:
    """Compare two listings on disk: a million files would not be small in memory."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {"changed": [], "added": [], "removed": []}

    def count(kind: str, source: Source) -> None:
        counts[kind] += 1
        if len(examples[kind]) < _EXAMPLES:
            examples[kind].append(printable(source.name))

    with closing(sqlite3.connect("", isolation_level=None)) as table:  # a file of its own
        table.execute("PRAGMA synchronous = OFF")
        table.execute("CREATE TABLE before (path BLOB PRIMARY KEY, line TEXT) WITHOUT ROWID")
        table.execute("BEGIN")
        table.executemany(
            "INSERT OR IGNORE INTO before VALUES (?, ?)",
            ((os.fsencode(source.path), json.dumps(source)) for source in before),
        )
        for source in now:
            key = (os.fsencode(source.path),)
            kept = table.execute("SELECT line FROM before WHERE path = ?", key).fetchone()
            if kept is None:
                count("added", source)
                continue
            table.execute("DELETE FROM before WHERE path = ?", key)
            if kept[0] != json.dumps(source):
                count("changed", source)
        for (line,) in table.execute("SELECT line FROM before ORDER BY path"):
            count("removed", Source(*json.loads(line)))
    return Changes(
        counts["changed"],
        counts["added"],
        counts["removed"],
        (tuple(examples["changed"]), tuple(examples["added"]), tuple(examples["removed"])),
    )


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
