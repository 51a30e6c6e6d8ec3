"""How far a process stands back for the others of this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")


def stand_back(nice: int) -> None:
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
