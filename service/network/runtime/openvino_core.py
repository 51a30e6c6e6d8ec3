"""The one OpenVINO core of a process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import openvino


@cache
def core() -> openvino.Core:
    """OpenVINO's core; created once per process, in a thread of its own that has ended.

    OpenVINO's CPU plugin gives the thread that loads it another stack for signal handlers
    (sigaltstack(2)) and unmaps that stack in whichever thread lets go of the plugin last. Loaded
    in the main thread, of which Python asks that handlers run on that stack, it leaves an address
    behind where nothing is mapped any more: the next Ctrl-C or SIGTERM ends the process with
    SIGSEGV instead of running its handler. A thread that has ended handles no signal.
    """
    with ThreadPoolExecutor(1) as once:
        return once.submit(_with_plugins).result()


def _with_plugins() -> openvino.Core:
    made = openvino.Core()
    _ = made.available_devices  # loads the plugin of every device
    return made
