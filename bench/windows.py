"""The service with a setting and without it, in windows that take turns.

Both services are up all the time and only one of them is loaded, so that what changes on the
machine meanwhile meets both. A pair in which other processes took a part of the processors is left
out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
import psutil

from bench.drawn import draw
from bench.processes import serving
from bench.scenarios import Setting, failed

CLIENTS = 32
OTHERS = 0.05
"""Of a processor, what other processes may take during a window."""
_DRAWS = 10_000


@dataclass(frozen=True)
class Pair:
    """What came of one load on both.

    Attributes:
        without: Report of `python -m bench.load`.
        with_it: The same, of the service with the setting.
        others: Processors that other processes took, in the worse of the two windows.
    """

    without: dict[str, Any]
    with_it: dict[str, Any]
    others: float


@dataclass(frozen=True)
class Both:
    """The two services.

    Attributes:
        without: The one without the setting.
        with_it: The one that has it.
    """

    without: Setting
    with_it: Setting

    def windows(self, count: int, **load: Any) -> list[Pair]:
        """Load both in turns, each pair with arrivals of its own and the second first next time.

        Returns:
            As many pairs without a disturbance, or what there is after half as many more.

        Raises:
            click.ClickException: There is none.
        """
        pairs: list[Pair] = []
        for number in range(count + count // 2):
            sides = [replace(side, seed=number + 1) for side in (self.without, self.with_it)]
            reports, others = {}, 0.0
            for side in sides if number % 2 == 0 else sides[::-1]:
                before, started = _foreign_seconds(), time.monotonic()
                reports[id(side)] = side.load(**load)
                taken = (_foreign_seconds() - before) / (time.monotonic() - started)
                others = max(others, taken)
            pairs.append(Pair(*(reports[id(side)] for side in sides), others))
            if sum(pair.others <= OTHERS for pair in pairs) == count:
                break
        kept = [pair for pair in pairs if pair.others <= OTHERS]
        if not kept:
            raise click.ClickException("other processes took a part of the processors all the time")
        return kept


def _foreign_seconds() -> float:
    """Processor seconds of all processes but this one and those that it started."""
    whole = psutil.cpu_times()
    own = psutil.Process()
    times = [own.cpu_times()]
    for child in own.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times.append(child.cpu_times())
    ours = sum(one.user + one.system + one.children_user + one.children_system for one in times)
    return float(whole.user + whole.nice + whole.system - ours)


@contextmanager
def both(folder: Path, given: dict[str, str], setting: dict[str, str]) -> Iterator[Both]:
    """Start the two services.

    Args:
        folder: To write to.
        given: CXR_… of both.
        setting: CXR_… of the one.
    """
    images = draw(folder)
    with ExitStack() as started:
        sides = []
        for name, more in (("without", {}), ("with", setting)):
            own = folder / name
            served = started.enter_context(serving(own, given | more))
            side = Setting(served, images, own, False, 1)
            side.load(clients=CLIENTS, seconds=2)
            sides.append(side)
        yield Both(*sides)


def ratio(pairs: Sequence[Pair], *path: str) -> str:
    """With / without of a figure: median of the pairs and its 95 % interval (bootstrap)."""

    def figure(report: Any) -> float:
        for name in path:
            report = report[name]
        return float(report)

    ratios = np.array([figure(pair.with_it) / figure(pair.without) for pair in pairs])
    drawn = np.random.default_rng(0).choice(ratios, (_DRAWS, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return f"{np.median(ratios):.3f} ({low:.3f} to {high:.3f})"


def failures(pairs: Sequence[Pair]) -> int:
    """Requests of all windows that got no answer, another status or a wrong one."""
    return sum(failed(pair.without) + failed(pair.with_it) for pair in pairs)


def counted(setting: Setting, name: str) -> dict[str, float]:
    """A counter of the service by its label `outcome`."""
    text = httpx.get(f"{setting.served.url}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    return {line.split('outcome="')[1].split('"')[0]: float(line.split()[-1]) for line in lines}
