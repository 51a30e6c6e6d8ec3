"""One run over an archive: list, continue or begin, score, write the output."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from service.archive.formats import write
from service.archive.journal import Journal
from service.archive.listing import Listing, Task, changes, tasks, write_listing
from service.archive.output import Output, record_of, table_in
from service.archive.pins import SHARD, Pins, pin
from service.archive.rows import columns
from service.archive.shards import Shard
from service.archive.sources import list_sources
from service.durable import sync_folder, write_whole, written_whole
from service.errors import ArchiveRefused
from service.explain.cam.class_map import CAM
from service.explain.cam.request import map_request
from service.network.bundle import sha256_file
from service.network.predictor import Predictor
from service.settings import Settings

Engine = Callable[[Iterable[Task], Callable[[int], None]], Iterator[Shard]]
"""Scores tasks, telling how many files more are done; shards may come in any order."""


class Watch(Protocol):
    """Receives the progress of a run."""

    def say(self, line: str) -> None:
        """Receive a message."""

    def begin(self, total: int, done: int) -> None:
        """Receive the number of files and how many an earlier run has scored."""

    def advance(self, files: int) -> None:
        """Receive the number of files that were scored."""

    def keep(self, files: int) -> None:
        """Hear how many files are kept of a run that breaks off."""


@dataclass(frozen=True)
class RunOptions:
    """Inputs and output of a run.

    Attributes:
        paths: Files, folders, patterns, CSV files.
        place: Where the results go.
        target: The finding that structured reports are about; None where none are written.
        restart: Drop what an earlier run left unfinished.
        overwrite: Replace finished results.
        as_listed: Continue with the files that were listed at the beginning, whatever became of
            them.
        keep_every: Files after which results are kept for good, made whole batches.
    """

    paths: Sequence[str]
    place: Output
    target: str | None = None
    restart: bool = False
    overwrite: bool = False
    as_listed: bool = False
    keep_every: int = SHARD


@dataclass(frozen=True)
class Summary:
    """Result of a run.

    Attributes:
        files: In the results.
        statuses: How many of each status, `ok` among them.
        scored_now: Files that this run worked on.
        seconds: That it took for them.
    """

    files: int
    statuses: dict[str, int]
    scored_now: int
    seconds: float


def score_archive(
    order: RunOptions, predictor: Predictor, settings: Settings, engine: Engine, watch: Watch
) -> Summary:
    """Score an archive, continuing an unfinished run.

    Args:
        order: What, and where to.
        predictor: What answers.
        settings: Limits.
        engine: What does the work.
        watch: Whoever follows it.

    Raises:
        ArchiveRefused: There is nothing to score, results of another run are in the way, or
            what is there was made with something else.
        UnknownTarget: These weights do not name the finding that reports are to be about.
    """
    if order.target is not None:
        map_request(predictor.manifest.labels, order.target, CAM)
    place = order.place
    place.out.parent.mkdir(parents=True, exist_ok=True)
    with closing(Journal(place.journal)) as journal:
        try:
            listing = _list(order, journal, watch)
            pins = pin(predictor, settings, listing, place.form, order.target, order.keep_every)
            if (finished := _finished(order, journal, pins)) is None:
                listing = _continue_or_begin(order, journal, listing, pins)
        except BaseException:
            _fresh(journal).unlink(missing_ok=True)
            if journal.header() is None:
                journal.remove()
            raise
        _fresh(journal).unlink(missing_ok=True)
        if finished is not None:
            journal.remove()
            return finished
        done = journal.done()
        before = _files_of(done, listing.count, pins.shard)
        watch.begin(listing.count, before)
        started = time.monotonic()
        try:
            for shard in engine(tasks(listing, pins.shard, done), watch.advance):
                journal.commit(shard.number, shard.lines, shard.reports)
            seconds = time.monotonic() - started
            statuses = _put_together(order, predictor, journal, listing, pins)
        except BaseException:
            watch.keep(_files_of(journal.done(), listing.count, pins.shard))
            raise
        journal.remove()
    return Summary(listing.count, statuses, listing.count - before, seconds)


def _fresh(journal: Journal) -> Path:
    return journal.files.with_name("files.new.jsonl")


def _list(order: RunOptions, journal: Journal, watch: Watch) -> Listing:
    if order.as_listed and not order.restart and journal.header() is not None:
        return journal.listing()
    skipped: list[str] = []
    place = order.place
    left_out = (place.out, place.record, place.journal)
    listing = write_listing(_fresh(journal), list_sources(order.paths, left_out, skipped.append))
    if skipped:
        watch.say(f"Left out: {skipped[0]}{_and_more(len(skipped))}, an index of DICOM files")
    if not listing.count:
        raise ArchiveRefused("There are no files to score in what was named")
    return listing


def _and_more(count: int) -> str:
    return f" and {count - 1} more" if count > 1 else ""


def _finished(order: RunOptions, journal: Journal, pins: Pins) -> Summary | None:
    """The summary of an identical finished run; None without one."""
    place = order.place
    begun = journal.header() is not None and not order.restart
    empty = place.is_folder and place.out.is_dir() and not any(place.out.iterdir())
    if not place.out.exists() or empty or (begun and not place.is_folder):
        return None
    if place.is_folder and order.overwrite:
        raise ArchiveRefused(
            f"{place.out} is there, and a folder is not overwritten; name another or remove it"
        )
    if order.overwrite:
        return None
    record = place.kept_record()
    if record is None:
        raise ArchiveRefused(
            f"{place.out} is there and is not of this program; name another file"
            + ("" if place.is_folder else " or give --overwrite")
        )
    made_with = record.get("made_with", {})
    differences = pins.differences(made_with)
    if not pins.has_files_of(made_with):
        count = made_with.get("files")
        moved = f"{count} then, {pins.files} now" if count != pins.files else "changed since"
        differences.append(f"files: {moved}")
    if differences:
        raise ArchiveRefused(
            f"{place.out} is finished and was made with something else "
            f"({'; '.join(differences)}); "
            "name another" + ("" if place.is_folder else " file or give --overwrite")
        )
    return Summary(pins.files, record["statuses"], 0, 0.0)


def _continue_or_begin(
    order: RunOptions, journal: Journal, listing: Listing, pins: Pins
) -> Listing:
    kept = journal.header()
    if kept is None or order.restart:
        return journal.begin(listing, pins.as_json())
    if differences := pins.differences(kept):
        raise ArchiveRefused(
            f"{journal.folder} was started with something else ({'; '.join(differences)}); "
            "give --restart to begin anew, or name another file"
        )
    if not pins.has_files_of(kept):
        raise ArchiveRefused(
            f"The files are not those that {journal.folder} was started with: "
            f"{changes(journal.listing(), listing).in_words()}; give --restart to begin anew, "
            "--as-listed to go on with the files that were listed, or name another file"
        )
    return replace(listing, file=journal.files)


def _files_of(done: frozenset[int], count: int, size: int) -> int:
    return sum(min(size, count - number * size) for number in done if number * size < count)


def _put_together(
    order: RunOptions, predictor: Predictor, journal: Journal, listing: Listing, pins: Pins
) -> dict[str, int]:
    """Write the output and its record."""
    place, reports = order.place, order.target is not None
    form = "jsonl" if place.form == "dicom-sr" or place.form == "fhir" else place.form  # noqa: PLR1714 - mypy narrows this
    table = table_in(journal.reports) if place.is_folder else journal.folder / "results"
    table.parent.mkdir(exist_ok=True)
    statuses: Counter[str] = Counter()

    def counted() -> Iterator[bytes]:
        for line in journal.rows(listing, pins.shard):
            statuses[json.loads(line)["status"]] += 1
            yield line

    with written_whole(table) as out:
        write(form, counted(), columns(predictor.manifest.labels, reports, predictor.fitted), out)
    found = dict(sorted(statuses.items()))
    record = {"made_with": pins.as_json(), "statuses": found, "sha256": sha256_file(table)}
    data = json.dumps(record, indent=1).encode() + b"\n"
    if place.is_folder:
        write_whole(record_of(table), data)
        journal.reports.replace(place.out)
    else:
        # Without its record a file is not taken for finished; a crash between the two leaves
        # the journal, from which both are made again.
        table.replace(place.out)
        write_whole(place.record, data)
    sync_folder(place.out.parent)
    return found
