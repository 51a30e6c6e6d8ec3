"""Progress of a run: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click

_EVERY_SECONDS = 30.0
"""Between two lines where standard error is no terminal."""


class Watched(Protocol):
    """Receives the progress of a run."""

    done: int
    total: int
    kept: int

    def say(self, line: str) -> None: ...

    def begin(self, total: int, done: int) -> None: ...

    def advance(self, files: int) -> None: ...

    def keep(self, files: int) -> None: ...


class Lines:
    """Progress as lines, one every few seconds."""

    def __init__(self) -> None:
        self.total = self.done = self.kept = self._before = 0
        self._began = self._told = time.monotonic()

    def say(self, line: str) -> None:
        click.echo(line, err=True)

    def begin(self, total: int, done: int) -> None:
        self.total, self.done, self._before = total, done, done
        self._began = self._told = time.monotonic()
        self.say(_beginning(total, done))

    def keep(self, files: int) -> None:
        self.kept = files

    def advance(self, files: int) -> None:
        self.done += files
        now = time.monotonic()
        if now - self._told < _EVERY_SECONDS:
            return
        self._told = now
        rate = (self.done - self._before) / (now - self._began)
        left = _duration((self.total - self.done) / rate)
        self.say(f"{self.done:,} of {self.total:,} files, {rate:.1f}/s, {left} left")


class Bar(Lines):
    """A bar with rate and time left."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.progress = Progress(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
            refresh_per_second=4,
        )
        self._task = self.progress.add_task("", total=None, rate="", left="")

    def say(self, line: str) -> None:
        self.progress.console.print(line, markup=False, highlight=False)

    def begin(self, total: int, done: int) -> None:
        super().begin(total, done)
        self.progress.update(self._task, total=total, completed=done)

    def advance(self, files: int) -> None:
        self.done += files
        now = time.monotonic()
        if now - self._told < 0.25 and self.done < self.total:
            return
        self._told = now
        # Over all of this run: files come by the shard, or of all sizes.
        rate = (self.done - self._before) / max(now - self._began, 1e-6)
        left = _duration((self.total - self.done) / rate)
        self.progress.update(
            self._task, completed=self.done, rate=f"{rate:.1f}/s", left=f"{left} left"
        )


@contextmanager
def watching() -> Iterator[Watched]:
    """A bar where standard error is a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    bar = Bar()
    with bar.progress:
        yield bar


def _beginning(total: int, done: int) -> str:
    if done:
        return f"Continuing: {done:,} of {total:,} files are done"
    return f"{total:,} files"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"
