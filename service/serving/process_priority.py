"""How far a process stands back for the others of this machine, or threads for other threads."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

_AUTOGROUP = Path("/proc/self/autogroup")

Result = TypeVar("Result")


def lower_priority(nice: int) -> None:
    """Give the processor up to others first, for as long as this process lives.

    Where the kernel groups processes by session (sched_autogroup_enabled, see sched(7)), a nice
    value counts within a session alone, and every worker of the framework leads a session of its
    own: there the group is told too. In a container there are no such groups.

    Args:
        nice: 0 (not at all) to 19; added to what the process was started with.
    """
    level = os.nice(nice)
    leads_a_session = os.getsid(0) == os.getpid()  # else the group is of others too
    if nice and leads_a_session:
        with suppress(OSError):  # not there, or read-only
            _AUTOGROUP.write_text(str(level), encoding="ascii")


def start_at_lower_priority(nice: int, start: Callable[[], Result]) -> Result:
    """Call something whose own threads are to give the processor up to the rest of this process.

    On Linux a nice value is a thread's own and goes on to the threads that it starts (sched(7)),
    so the call is made in a thread that has stood back already. Elsewhere it changes nothing.

    Args:
        nice: 0 (not at all) to 19; added to this thread's.
        start: Starts the threads; what it answers or raises is passed on.
    """

    def behind() -> Result:
        if sys.platform == "linux":
            thread = threading.get_native_id()
            level = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, min(level + nice, 19))
        return start()

    with ThreadPoolExecutor(1) as once:
        return once.submit(behind).result()


def use_batch_scheduling() -> None:
    """Have this thread, and those that it will start, interrupt nobody when they wake up.

    With work for every core, each of the short pieces of work that surround a run of the network
    would otherwise break into one, and then both find the cache full of the other's data. On Linux
    (SCHED_BATCH, see sched(7)) it starts at the end of a time slice, a few milliseconds later, or
    at once where a core is free. Elsewhere, and where it is not allowed, nothing changes.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
