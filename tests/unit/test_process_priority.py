"""How a process stands back for others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.network.runtime.thread_priority import start_at_lower_priority

AUTOGROUP = Path("/proc/self/autogroup")
TOLD = """
import os
from pathlib import Path
from service.serving.process_priority import lower_priority

group = Path("/proc/self/autogroup")
lower_priority({nice})
print(os.nice(0))
print(group.read_text() if group.exists() else "")
"""


def _stand_back(nice: int, *, own_session: bool) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", TOLD.format(nice=nice)],
        start_new_session=own_session,
        capture_output=True,
        text=True,
        check=True,
    )
    level, group = done.stdout.split("\n", 1)
    return int(level), group.strip()


def test_a_nice_value_is_set():
    """A process that stands back by 7 has a nice value of 7 more than it was started with."""
    before, _ = _stand_back(0, own_session=True)
    assert _stand_back(7, own_session=True)[0] == before + 7


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not group by session")
def test_the_group_of_a_session_of_ones_own_stands_back_too():
    """Where the kernel groups by session, a session's leader lowers its group as well."""
    level, group = _stand_back(7, own_session=True)
    assert group.endswith(f" nice {level}")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not group by session")
def test_a_session_shared_with_others_is_left_alone():
    """A process that shares its session lowers itself, not those it shares the session with."""
    before = AUTOGROUP.read_text()  # empty where nothing began a session since the kernel started
    _stand_back(7, own_session=False)
    assert AUTOGROUP.read_text() == before


NICE_OF_THREADS = """
import os
from threading import Thread, get_native_id
from service.network.runtime.thread_priority import start_at_lower_priority

told = []

def start():
    thread = Thread(target=lambda: told.append(os.getpriority(os.PRIO_PROCESS, get_native_id())))
    thread.start()
    thread.join()
    return "started"

print(start_at_lower_priority(4, start), told[0] - os.nice(0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a nice value is a process's elsewhere")
def test_threads_stand_back_for_the_rest_of_their_process():
    """What is started behind has a lower priority; the thread that asked for it keeps its own."""
    done = subprocess.run(
        [sys.executable, "-c", NICE_OF_THREADS], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["started", "4"]


POLICIES = """
import os
from threading import Thread
from service.serving.process_priority import use_batch_scheduling

told = []

def tell():
    told.append(os.sched_getscheduler(0) == os.SCHED_BATCH)

def started_by_the_one_that_waits():
    use_batch_scheduling()
    tell()
    thread = Thread(target=tell)
    thread.start()
    thread.join()

for work in (started_by_the_one_that_waits, tell):
    thread = Thread(target=work)
    thread.start()
    thread.join()
print(told)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's way")
def test_a_thread_that_waits_its_turn_says_so_to_the_kernel():
    """It and what it starts are scheduled as SCHED_BATCH; the other threads stay as they were."""
    done = subprocess.run(
        [sys.executable, "-c", POLICIES], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[True, True, False]"


def test_what_the_start_raises_is_passed_on():
    """A fault while starting reaches the caller as it is."""

    def start():
        raise LookupError("no such model")

    with pytest.raises(LookupError, match="no such model"):
        start_at_lower_priority(1, start)
