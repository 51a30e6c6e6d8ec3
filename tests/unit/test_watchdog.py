"""The watchdog over real processes: a supervisor that starts one worker, both tiny."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

WORKER = """
import asyncio, signal
from service.serving.watchdog import beat, end

async def work():
    beating = asyncio.ensure_future(beat(lambda: {alive}, 0.05))
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
    print("up", flush=True)
    await told.wait()
    await end(beating)

asyncio.run(work())
"""

SUPERVISOR = """
import os, subprocess, sys, time
from service.serving.watchdog import watch
watch(float(sys.argv[2]), 0.05)
worker = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
worker.stdout.readline()
print(worker.pid, os.environ["CXR_HEARTBEATS"], flush=True)
worker.wait()
print(worker.returncode, flush=True)
time.sleep(60)
"""


@pytest.fixture
def start():
    """Start a supervisor; answers it, its worker and their folder. Nothing outlives the test."""
    running = []

    def supervise(alive: str = "True", stall: float = 0.6, **environment: str):
        supervisor = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, WORKER.format(alive=alive), str(stall)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "CXR_HEARTBEATS"}
            | environment,
        )
        running.append(supervisor)
        pid, folder = supervisor.stdout.readline().split()
        worker = psutil.Process(int(pid))
        running.append(worker)
        return supervisor, worker, folder

    yield supervise
    for process in running:
        if process.is_running() if isinstance(process, psutil.Process) else process.poll() is None:
            process.kill()
    for process in running:
        if isinstance(process, subprocess.Popen):
            process.communicate()


def files(folder) -> list[str]:
    return [file.name for file in Path(folder).iterdir()]


def wait_for(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_a_worker_that_moves_is_left_alone(start):
    """A worker that touches its file outlives the limit; its file bears its process's number."""
    _, worker, folder = start()
    time.sleep(1.0)
    assert worker.status() != psutil.STATUS_ZOMBIE
    assert files(folder) == [str(worker.pid)]


def test_a_worker_that_is_stopped_is_killed(start):
    """A stopped process is killed once the limit is over, and its file is taken away."""
    supervisor, worker, folder = start()
    wait_for(lambda: files(folder))
    worker.send_signal(signal.SIGSTOP)
    assert supervisor.stdout.readline() == f"{-signal.SIGKILL}\n"
    wait_for(lambda: not files(folder))
    assert supervisor.poll() is None


def set_clock_back(folder, worker, seconds: float) -> None:
    """Give a worker's file a time that lies in the past; in the future where it is below 0."""
    moment = time.time() - seconds
    os.utime(Path(folder) / str(worker.pid), (moment, moment))


def test_a_clock_that_is_set_forward_kills_nobody(start):
    """A worker that moves is left alone, however old its file's time looks by the clock of now."""
    _, worker, folder = start()
    wait_for(lambda: files(folder))
    end = time.monotonic() + 1.5
    while time.monotonic() < end:  # many times between two touches
        assert worker.is_running()
        assert files(folder) == [str(worker.pid)]
        set_clock_back(folder, worker, 8)


def test_a_clock_that_is_set_back_saves_nobody(start):
    """A worker that is stopped is killed although its file's time is an hour ahead of the clock."""
    supervisor, worker, folder = start()
    wait_for(lambda: files(folder))
    worker.send_signal(signal.SIGSTOP)
    set_clock_back(folder, worker, -3600)
    assert supervisor.stdout.readline() == f"{-signal.SIGKILL}\n"


def test_a_supervisor_that_was_stopped_with_its_worker_does_not_kill_it(start):
    """Time for which both were stopped, as in a suspended container, is held against nobody."""
    supervisor, worker, folder = start(stall=2.0)
    wait_for(lambda: files(folder))
    for process in (psutil.Process(supervisor.pid), worker):
        process.send_signal(signal.SIGSTOP)
    time.sleep(2.5)  # longer than the limit
    supervisor.send_signal(signal.SIGCONT)
    time.sleep(0.2)  # several looks of the watchdog, of forty that it allows
    worker.send_signal(signal.SIGCONT)
    touched = (Path(folder) / str(worker.pid)).stat().st_mtime_ns
    wait_for(lambda: (Path(folder) / str(worker.pid)).stat().st_mtime_ns > touched)
    assert worker.status() != psutil.STATUS_ZOMBIE


def test_a_worker_whose_work_hangs_is_killed(start):
    """A worker whose event loop turns but whose runtime hangs stops touching its file."""
    since = f"__import__('time').monotonic() < {time.monotonic() + 2}"
    supervisor, _, _ = start(alive=since)
    assert supervisor.stdout.readline() == f"{-signal.SIGKILL}\n"


def test_a_dead_workers_file_is_taken_away(start):
    """A worker that ended by itself leaves nothing behind, and its supervisor goes on."""
    supervisor, worker, folder = start()
    wait_for(lambda: files(folder))
    worker.kill()
    wait_for(lambda: not files(folder))
    assert supervisor.poll() is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_in_a_container_everything_ends(start, how):
    """Where nothing replaces a worker, losing one ends the supervisor with exit status 1."""
    supervisor, worker, folder = start(BENTOML_CONTAINERIZED="true")
    wait_for(lambda: files(folder))
    worker.send_signal(how)
    assert supervisor.wait(20) == 1
    wait_for(lambda: not worker.is_running())


def test_in_a_container_a_worker_may_end_when_it_is_told_to(start):
    """A worker that ends because it was told to does not take those with it that still answer."""
    supervisor, worker, folder = start(BENTOML_CONTAINERIZED="true")
    wait_for(lambda: files(folder))
    worker.send_signal(signal.SIGUSR1)
    assert supervisor.stdout.readline() == "0\n"
    assert files(folder) == []
    time.sleep(0.3)  # several looks of the watchdog
    assert supervisor.poll() is None


def test_a_worker_without_its_supervisor_ends(start):
    """A worker whose supervisor was killed ends by itself instead of serving unwatched."""
    supervisor, worker, folder = start()
    wait_for(lambda: files(folder))
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
