"""What became of the requests of one run."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; NaN for none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Count, median, 90th and 99th percentile and largest, in milliseconds."""
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {"count": len(seconds)} | {
        name: round(quantile(seconds, share) * 1e3, 2) for name, share in shares.items()
    }


class Tally:
    """Counts and latencies."""

    def __init__(self) -> None:
        self._latencies: dict[int, list[float]] = defaultdict(list)
        self._failures: Counter[str] = Counter()
        self._waited: list[float] = []
        self._lost: list[tuple[str, str]] = []
        self._wrong = 0
        self._largest = 0.0
        self._in_time = 0
        self._began = self._ended = 0.0

    def begin(self) -> None:
        """Answers count in throughput from here on."""
        self._began = time.monotonic()
        self._in_time = 0

    def end(self) -> None:
        """What is answered later counts in latencies, not in throughput."""
        self._ended = self._ended or time.monotonic()

    def answered(self, status: int, seconds: float, difference: float, name: str) -> None:
        """Note an answer.

        Args:
            status: Of the answer.
            seconds: Since the request was due.
            difference: To the right scores; infinite if the answer is wrong.
            name: The request's identifier.
        """
        self._latencies[status].append(seconds)
        if status == 200 and not self._ended:
            self._in_time += 1
        if math.isinf(difference):
            self._wrong += 1
            self._lost.append((name, "wrong"))
        else:
            self._largest = max(self._largest, difference)

    def failed(self, kind: str, seconds: float, name: str) -> None:
        """Note a request without an answer."""
        self._failures[kind] += 1
        if kind != "refused":
            self._lost.append((name, kind))
            self._waited.append(seconds)

    def report(self, cpu_seconds: float, *, losses: bool) -> dict[str, Any]:
        """Everything as a JSON object; latencies in milliseconds by status."""
        elapsed = self._ended - self._began
        answers = sum(map(len, self._latencies.values()))
        failures = dict(self._failures) | ({"wrong": self._wrong} if self._wrong else {})
        report: dict[str, Any] = {
            "requests": answers + sum(self._failures.values()),
            "seconds": round(elapsed, 3),
            "throughput": round(self._in_time / elapsed, 2) if elapsed else 0.0,
            "by_status": {str(status): len(of) for status, of in sorted(self._latencies.items())},
            "latency_ms": {
                str(status): milliseconds(of) for status, of in sorted(self._latencies.items())
            },
            "failures": failures,
            "failed_after_ms": milliseconds(self._waited) if self._waited else None,
            "largest_difference": self._largest,
            "generator_cpu_ms_a_request": round(cpu_seconds * 1e3 / max(answers, 1), 3),
        }
        if losses:
            report["lost"] = self._lost
        return report
