"""CPU priority and scheduling policy of a process."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")


def lower_priority(nice: int) -> None:
    """Lower this process's CPU priority.

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


def use_batch_scheduling() -> None:
    """Set SCHED_BATCH; threads started later inherit it.

    With work for every core, each of the short pieces of work that surround a run of the network
    would otherwise break into one, and then both find the cache full of the other's data. On Linux
    (SCHED_BATCH, see sched(7)) it starts at the end of a time slice, a few milliseconds later, or
    at once where a core is free. Elsewhere, and where it is not allowed, nothing changes.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def use_idle_scheduling() -> None:
    """Let this process run only where no other wants the processor; for threads started later too.

    On Linux every other takes the processor from it at once (SCHED_IDLE, see sched(7)). Elsewhere,
    and where it is not allowed, it gets the lowest nice value.
    """
    if sys.platform == "linux":
        try:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        except OSError:
            os.nice(19)
    else:
        os.nice(19)
