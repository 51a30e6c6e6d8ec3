"""Putting repeats together, and the tables and sentences that come of it. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

CLIENTS = (1, 8, 32, 128)
AT = "32"
"""Clients at which contenders are compared."""

NOTHING = {
    "throughput": math.nan,
    "p50": math.nan,
    "p99": math.nan,
    "requests": 0,
    "failed": 0,
    "wrong": 0,
    "largest_difference": 0.0,
}
"""A point at which nothing was measured."""

_SUMMED = ("requests", "failed", "wrong")
_WORST = ("largest_difference",)


def point(report: Mapping[str, Any]) -> dict[str, float]:
    """What counts of a load generator's report; latencies are those of answers of status 200.

    Returns:
        Images a second, p50 and p99 in milliseconds (NaN if nothing was answered), the number of
        requests, of those without a right answer ("failed", wrong ones among them) and of "wrong".
    """
    good = report["latency_ms"].get("200", {"p50": math.nan, "p99": math.nan})
    other = sum(count for status, count in report["by_status"].items() if status != "200")
    return {
        "throughput": report["throughput"],
        "p50": good["p50"],
        "p99": good["p99"],
        "requests": report["requests"],
        "failed": other + sum(report["failures"].values()),
        "wrong": report["failures"].get("wrong", 0),
        "largest_difference": report["largest_difference"],
    }


def together(repeats: Sequence[Any], name: str = "") -> Any:
    """The median of each number over the repeats; counts are summed, the worst difference is kept.

    Args:
        repeats: Numbers, or mappings of the same keys to such, to any depth.
        name: Key that they had.
    """
    if isinstance(repeats[0], Mapping):
        return {key: together([one[key] for one in repeats], key) for key in repeats[0]}
    if name in _SUMMED:
        return sum(repeats)
    if any(math.isnan(one) for one in repeats):
        return math.nan
    return max(repeats) if name in _WORST else median(repeats)


@dataclass(frozen=True)
class Row:
    """A contender's repeats, put together.

    Attributes:
        server: Name of the way to serve.
        precision: "float32" or "int8".
        figures: start_seconds, memory, points (by clients) and equal.
    """

    server: str
    precision: str
    figures: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.server}, {self.precision}"

    @property
    def peak(self) -> float:
        """Images a second at 32 clients."""
        return float(self.figures["points"][AT]["throughput"])

    @property
    def failed(self) -> int:
        """Requests without a right answer, of all loads and repeats."""
        loads = (*self.figures["points"].values(), self.figures["equal"])
        return int(sum(load["failed"] for load in loads))

    @property
    def requests(self) -> int:
        loads = (*self.figures["points"].values(), self.figures["equal"])
        return int(sum(load["requests"] for load in loads))


def rows(turns: Iterable[Mapping[str, Any]]) -> list[Row]:
    """One row a contender, in the order in which they first come."""
    by_name: dict[tuple[str, str], list[Any]] = {}
    for turn in turns:
        by_name.setdefault((turn["server"], turn["precision"]), []).append(turn["figures"])
    return [Row(*key, together(figures)) for key, figures in by_name.items()]


@dataclass(frozen=True)
class Claim:
    """Something that is to hold, and whether it does."""

    text: str
    value: float
    bound: float
    held: bool


FLOAT32_BOUNDS = {"int8": 3.0, "int8w7": 1.8}
"""Times the best float32 peer, by the 8-bit variant: int8w7 runs where there is no VNNI."""


def claims(found: Sequence[Row], ours: str, float32_bound: float) -> list[Claim]:
    """What is claimed of our row beside the others: speed, tail latency, failures.

    Args:
        found: Rows; without ours there is nothing to claim.
        ours: The server's name in our row.
        float32_bound: Times the best float32 peer that ours is to do.
    """
    own = _own(found, ours)
    if own is None:
        return []
    made = []
    for precision, bound in (("float32", float32_bound), ("int8", 1.2)):
        others = [row for row in found if row.server != ours and row.precision == precision]
        if others:
            best = max(others, key=lambda row: row.peak)
            ratio = own.peak / best.peak
            text = f"throughput at {AT} clients / best {precision} peer ({best.server})"
            made.append(Claim(text, ratio, bound, ratio >= bound))
    others = [row for row in found if row.server != ours and not row.figures["equal"]["failed"]]
    if others:
        best = min(others, key=lambda row: _or_infinite(row.figures["equal"]["p99"]))
        ratio = own.figures["equal"]["p99"] / best.figures["equal"]["p99"]
        text = f"p99 at equal load / lowest of the peers' ({best.name})"
        made.append(Claim(text, ratio, 1.0, ratio <= 1))
    made.append(Claim("requests without a right answer", own.failed, 0, own.failed == 0))
    return made


def _own(found: Sequence[Row], ours: str) -> Row | None:
    return next((row for row in found if row.server == ours), None)


def _or_infinite(value: float) -> float:
    return math.inf if math.isnan(value) else value


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; every column but the first is of numbers."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float, digits: int = 3) -> str:
    """A number to so many digits that count, without an exponent; a dash for NaN."""
    if math.isnan(value):
        return "-"
    if value == 0:
        return "0"
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:.{min(places, 2)}f}"


def throughput_table(found: Sequence[Row], ours: str, clients: Sequence[int] = CLIENTS) -> str:
    """Images a second by clients, ours against each, and failures."""
    own = _own(found, ours)
    head = ["clients, images/s", *map(str, clients), f"ours at {AT}", "failed"]
    body = [
        [
            row.name,
            *(number(row.figures["points"][str(count)]["throughput"]) for count in clients),
            "" if own is None or row is own else f"{number(own.peak / row.peak)} x",
            f"{row.failed} of {row.requests}",
        ]
        for row in found
    ]
    return table(head, body)


def latency_table(found: Sequence[Row], rate: float, clients: Sequence[int] = CLIENTS) -> str:
    """p50 and p99 in milliseconds by clients, and at the same load for all."""
    head = ["clients, p50 / p99 in ms", *map(str, clients)]
    head.append(f"all at {number(rate)}/s")
    body = []
    for row in found:
        loads = [row.figures["points"][str(count)] for count in clients]
        loads.append(row.figures["equal"])
        cells = [f"{number(load['p50'])} / {number(load['p99'])}" for load in loads]
        body.append([row.name, *cells])
    return table(head, body)


def cost_table(found: Sequence[Row]) -> str:
    """Start-up and memory."""
    head = ["", "first answer after", "memory, warm", "memory, at the end"]
    body = []
    for row in found:
        warm, end = row.figures["memory_warm"], row.figures["memory_end"]
        cells = [f"{number(one['all'])} MiB" for one in (warm, end)]
        if warm["explainer"]:
            cells = [
                f"{cell} ({number(one['all'] - one['explainer'])} without heat maps)"
                for cell, one in zip(cells, (warm, end), strict=True)
            ]
        body.append([row.name, f"{number(row.figures['start_seconds'])} s", *cells])
    return table(head, body)
