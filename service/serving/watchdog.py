"""The watchdog: kills workers that hang, so that they are replaced.

Each worker touches a file of its own every second while it moves. A thread of the supervising
process looks at the files: a file that does not change for too long belongs to a process that is
stopped, or whose event loop or runtime hangs. Modification times are only compared with each other:
the clock that they come from is set forward and back. On a host the supervisor starts a new
worker in its place. In a container it does not, so the whole container goes down there, for its
orchestrator to replace: half a service that looks alive is worse than none.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import math
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client import multiprocess

_FOLDER = "CXR_HEARTBEATS"
_PERIOD = 1.0

log = logging.getLogger("cxr.watchdog")


async def beat(alive: Callable[[], bool], period: float = _PERIOD) -> None:
    """Touch this worker's file every second for as long as it is alive; until cancelled.

    A worker that is told to end cancels this, and the file goes: it is not missed.

    Args:
        alive: Whether the worker does its work.
        period: Seconds between two touches.
    """
    folder = os.environ.get(_FOLDER)
    if folder is None:  # started without a supervisor, by a test or another server
        return
    file = Path(folder) / str(os.getpid())
    parent = os.getppid()
    try:
        while True:
            if alive():
                file.touch()
            if os.getppid() != parent:
                log.error("the supervising process is gone; shutting down")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            await asyncio.sleep(period)
    except asyncio.CancelledError:
        file.unlink(missing_ok=True)
        raise


async def end(beating: asyncio.Future[None]) -> None:
    """Stop the heartbeat of a worker that shuts down."""
    beating.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beating


def watch(stall_seconds: float, period: float = _PERIOD) -> None:
    """Start watching the workers of this process, which supervises them.

    Args:
        stall_seconds: How long a worker may go without touching its file, rounded up to whole
            periods.
        period: Seconds between two looks at the files.
    """
    if _FOLDER in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="cxr-heartbeats-"))
    os.environ[_FOLDER] = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    threading.Thread(
        target=_watch, args=(folder, stall_seconds, period), name="watchdog", daemon=True
    ).start()


def _watch(folder: Path, stall_seconds: float, period: float) -> None:
    # Looks are counted, not seconds: a look that is late, because this process was stopped or
    # starved together with its workers, is still one.
    looks_allowed = math.ceil(stall_seconds / period)
    heartbeats: dict[Path, _Heartbeat] = {}
    while True:
        time.sleep(period)
        heartbeats = {file: heartbeats.get(file, _Heartbeat()) for file in folder.iterdir()}
        for file, heartbeat in heartbeats.items():
            pid = int(file.name)
            ended = _ended(pid)
            try:
                heartbeat.look(file.stat().st_mtime_ns)
            except FileNotFoundError:  # it was told to end, and does
                continue
            if ended:
                log.error("worker ended", extra={"worker": pid})
            elif heartbeat.unchanged_looks >= looks_allowed:
                log.error("worker hangs; killing it", extra={"worker": pid})
                with contextlib.suppress(ProcessLookupError):  # it ended just now
                    os.kill(pid, signal.SIGKILL)
            else:
                continue
            file.unlink(missing_ok=True)
            _forget_metrics(pid)
            if "BENTOML_CONTAINERIZED" in os.environ:
                _end_everything()


@dataclass
class _Heartbeat:
    """What the watchdog knows of one worker's file.

    Attributes:
        touched: Its modification time at the last look, in nanoseconds.
        unchanged_looks: Looks since then that saw the same one.
    """

    touched: int = -1
    unchanged_looks: int = 0

    def look(self, touched: int) -> None:
        self.unchanged_looks = self.unchanged_looks + 1 if touched == self.touched else 0
        self.touched = touched


def _ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _forget_metrics(pid: int) -> None:
    """Remove a dead worker's gauges from the metrics."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(pid)


def _end_everything() -> None:
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(1)
