"""Arrivals of radiographs: a hospital's day, and three worse things than a day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scenario:
    """Arrivals a second at a time of `seconds`, and when the trouble begins."""

    name: str
    seconds: float
    rate: Callable[[np.ndarray], np.ndarray]
    trouble: float | None = None


# Relative examinations an hour of a general hospital: wards in the morning, clinics until five,
# the emergency department all night. Drawn by hand after the usual shape; only the shape matters.
_HOURS = (2, 2, 1, 1, 1, 2, 5, 9, 14, 16, 16, 14, 11, 12, 13, 12, 10, 8, 6, 5, 5, 4, 3, 2, 2)


def _day(per_day: float) -> Callable[[np.ndarray], np.ndarray]:
    def rate(t: np.ndarray) -> np.ndarray:
        shape = np.interp(t / 3600, range(25), _HOURS)
        bursts = 1 + 0.3 * np.sin(t / 97) * np.sin(t / 41)  # wards send in waves of minutes
        return per_day / 86400 * shape / np.mean(_HOURS[:24]) * bursts

    return rate


SCENARIOS = (
    Scenario("day, 1 million images", 86400, _day(1e6)),
    Scenario("day, 10 million images", 86400, _day(1e7)),
    Scenario("step, 50 to 500/s", 1800, lambda t: np.where(t < 600, 50.0, 500.0), 600),
    Scenario(
        "spike, 50 to 800/s for 2 min",
        1800,
        lambda t: np.where((t >= 600) & (t < 720), 800.0, 50.0),
        600,
    ),
    Scenario("ramp, 10 to 1000/s in 2 h", 7200, lambda t: 10 * 100 ** (t / 7200)),
)


def arrivals(
    scenario: Scenario, now: float, seconds: float, random: np.random.Generator
) -> np.ndarray:
    """Poisson arrivals of a stretch of time, by thinning its highest rate."""
    grid = now + np.arange(0, seconds, 0.25)
    highest = float(scenario.rate(grid).max())
    candidates = now + np.sort(random.random(random.poisson(highest * seconds))) * seconds
    kept = random.random(len(candidates)) * highest < scenario.rate(candidates)
    return candidates[kept]
