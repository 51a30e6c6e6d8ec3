"""Figures of a scenario, their bounds, and the table of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

Sense = Literal["at least", "at most", "note"]


@dataclass(frozen=True)
class Figure:
    """One number of one run.

    Attributes:
        name: What was measured.
        value: NaN where there was nothing to measure.
        sense: How the bound is meant; "note" has none.
        bound: What the service is to keep to.
        worst: Whether repeats are summed up by their worst instead of their median.
        unit: Of the value.
    """

    name: str
    value: float
    sense: Sense = "note"
    bound: float = math.nan
    worst: bool = False
    unit: str = ""


def at_least(name: str, value: float, bound: float, unit: str = "") -> Figure:
    """A figure that is to reach a bound."""
    return Figure(name, value, "at least", bound, unit=unit)


def at_most(
    name: str, value: float, bound: float, unit: str = "", *, worst: bool = False
) -> Figure:
    """A figure that is to stay within a bound."""
    return Figure(name, value, "at most", bound, worst, unit)


def none_of(name: str, count: float) -> Figure:
    """A count that is to be 0 in every run."""
    return Figure(name, count, "at most", 0, worst=True)


@dataclass(frozen=True)
class Summary:
    """One figure over all repeats."""

    scenario: str
    figure: Figure
    values: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median of the repeats, or the worst; NaN if any is."""
        if any(math.isnan(value) for value in self.values):
            return math.nan
        return float(max(self.values) if self.figure.worst else median(self.values))

    @property
    def held(self) -> bool | None:
        """Whether the bound was kept; None without one."""
        if self.figure.sense == "note":
            return None
        if self.figure.sense == "at least":
            return self.value >= self.figure.bound
        return self.value <= self.figure.bound

    def as_json(self) -> dict[str, Any]:
        return {"scenario": self.scenario, **asdict(self.figure), "value": self.value} | {
            "values": self.values,
            "held": self.held,
        }


def summarise(scenario: str, runs: Sequence[Sequence[Figure]]) -> list[Summary]:
    """Put the repeats of a scenario together; each has the same figures."""
    return [
        Summary(scenario, same[0], tuple(figure.value for figure in same))
        for same in zip(*runs, strict=True)
    ]


_SENSE = {"at least": ">=", "at most": "<=", "note": ""}
_HELD = {True: "yes", False: "NO", None: ""}


def table(summaries: Iterable[Summary]) -> str:
    """Lines for a person: scenario, figure, value, spread over the repeats, bound, held."""
    rows = [("scenario", "figure", "value", "repeats", "bound", "held")]
    for one in summaries:
        figure = one.figure
        spread = f"{_number(min(one.values))}-{_number(max(one.values))}"
        bound = "" if figure.sense == "note" else f"{_SENSE[figure.sense]} {_number(figure.bound)}"
        value = f"{_number(one.value)} {figure.unit}".strip()
        repeats = spread if len(one.values) > 1 else ""
        rows.append((one.scenario, figure.name, value, repeats, bound, _HELD[one.held]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    if value == int(value) and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}" if abs(value) < 100 else f"{value:.0f}"
