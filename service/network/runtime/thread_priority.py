"""CPU priority of the threads that run the network."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def start_at_lower_priority(nice: int, start: Callable[[], Result]) -> Result:
    """Call a function that starts threads, and start these at a lower CPU priority.

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
