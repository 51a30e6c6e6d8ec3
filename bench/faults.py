"""Injected faults: processes that are killed, that stop moving, and that are told to end."""

from __future__ import annotations

import math
import re
import signal
import time
from typing import Any

import psutil

from bench.figures import Figure, at_most, none_of
from bench.processes import EXPLAINER, PREDICTION, START_LIMIT
from bench.scenarios import Setting

STALL_SECONDS = 5.0
"""After which a hung process is replaced in the run that hangs one: within the deadline."""
_SLACK = 1.0
"""Seconds beyond the deadline that an answer may take to get here."""


def killed_prediction(setting: Setting) -> list[Figure]:
    """`kill -9` of the process that predicts, under load."""
    return _replaced(setting, PREDICTION, signal.SIGKILL)


def killed_explainer(setting: Setting) -> list[Figure]:
    """`kill -9` of the process that draws heat maps: predictions do not notice."""
    figures = _replaced(setting, EXPLAINER, signal.SIGKILL)
    return [
        none_of(figure.name, figure.value) if figure.name == "predictions failed" else figure
        for figure in figures
    ]


def hung_prediction(setting: Setting) -> list[Figure]:
    """`kill -STOP` of the process that predicts, under load."""
    return _replaced(setting, PREDICTION, signal.SIGSTOP)


def _replaced(setting: Setting, role: str, how: signal.Signals) -> list[Figure]:
    """Take a process away under load of both kinds and watch another take its place."""
    served = setting.served
    deadline = setting.limits.deadline_seconds
    seconds = setting.scaled(25, 15)
    loads = [
        setting.start(clients=8, seconds=seconds, timeout=60, losses=True),
        setting.start(path="/gradcam", clients=2, seconds=seconds, timeout=90),
    ]
    time.sleep(4)  # the generators start, then the load is steady
    process = served.find(role)
    assert process is not None
    struck = time.monotonic()
    process.send_signal(how)
    _gone(process)
    noticed = time.monotonic() - struck
    served.wait_until_ready()
    back = time.monotonic() - struck
    report, drawn = (load.result() for load in loads)
    failures = report["failures"]
    return [
        Figure("until it is gone", noticed, unit="s"),
        Figure("until ready again", back, unit="s"),
        Figure("predictions answered", report["by_status"].get("200", 0)),
        Figure("predictions failed", _failed_plainly(report)),
        none_of("predictions wrong", failures.get("wrong", 0)),
        none_of("predictions without an answer or a clean error", failures.get("timeout", 0)),
        at_most("longest until a clean error", _longest_failure(report), deadline + _SLACK, "s"),
        Figure("longest until an answer", _longest_answer(report), unit="s"),
        Figure("heat maps answered", drawn["by_status"].get("200", 0)),
        Figure("heat maps failed", _failed_plainly(drawn)),
        none_of("heat maps without an answer", drawn["failures"].get("timeout", 0)),
    ]


def _gone(process: psutil.Process) -> None:
    """Wait until a process is no more, or is a zombie."""
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.02)


def _failed_plainly(report: dict[str, Any]) -> int:
    """Requests with an error for an answer, or whose connection was closed or refused."""
    statuses = sum(count for status, count in report["by_status"].items() if status != "200")
    broken = sum(report["failures"].get(kind, 0) for kind in ("refused", "closed", "cut"))
    return int(statuses + broken)


def _longest_failure(report: dict[str, Any]) -> float:
    waited = report["failed_after_ms"]
    return 0.0 if waited is None else float(waited["max"]) / 1e3


def _longest_answer(report: dict[str, Any]) -> float:
    answered = report["latency_ms"].values()
    return max((one["max"] / 1e3 for one in answered), default=math.nan)


def killed_supervisor(setting: Setting) -> list[Figure]:
    """`kill -9` of the supervisor: its workers finish what they have and end, the port closes."""
    served = setting.served
    workers = [process for role in (PREDICTION, EXPLAINER) if (process := served.find(role))]
    load = setting.start(clients=8, seconds=setting.scaled(20, 12), timeout=60, losses=True)
    time.sleep(4)
    struck = time.monotonic()
    served.process.kill()
    served.process.wait()
    for worker in workers:
        _gone(worker)
    ended = time.monotonic() - struck
    report = load.result()
    return [
        Figure("until every worker has ended", ended, unit="s"),
        none_of("workers left behind", sum(worker.is_running() for worker in workers)),
        *_nothing_lost(setting, report),
    ]


def told_to_end(setting: Setting) -> list[Figure]:
    """SIGTERM under load: what was accepted is answered."""
    served = setting.served
    load = setting.start(clients=16, seconds=setting.scaled(15, 10), timeout=60, losses=True)
    time.sleep(4)
    struck = time.monotonic()
    served.process.send_signal(signal.SIGTERM)
    status = served.process.wait(120)
    ended = time.monotonic() - struck
    report = load.result()
    return [
        Figure("until it has ended", ended, unit="s"),
        none_of("exit status", status),
        *_nothing_lost(setting, report),
    ]


def _nothing_lost(setting: Setting, report: dict[str, Any]) -> list[Figure]:
    """Whether each request that the service began to work on was answered.

    A connection that is closed while a request is on its way to it is closed unread: the service
    never had that request. Its log has a line for each that it had.
    """
    begun = _logged(setting)
    unanswered = [name for name, kind in report["lost"] if kind in ("closed", "cut", "timeout")]
    lost = [name for name in unanswered if name in begun]
    cut = sum(kind in ("cut", "timeout") for _, kind in report["lost"])
    return [
        Figure("answered 200", report["by_status"].get("200", 0)),
        Figure("answered 503", report["by_status"].get("503", 0)),
        none_of("accepted and lost", max(len(lost), cut)),
        Figure("closed unread", len(unanswered) - len(lost)),
        none_of("wrong", report["failures"].get("wrong", 0)),
    ]


_REQUEST_ID = re.compile(r'"request_id": "(bench-\d+)"')


def _logged(setting: Setting) -> set[str]:
    """The identifiers in the service's log."""
    return set(_REQUEST_ID.findall(setting.served.log.read_text(errors="replace")))
