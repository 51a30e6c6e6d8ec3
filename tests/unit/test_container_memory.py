"""The memory that a container has, and the part of it that images may take."""

from __future__ import annotations

import json
import subprocess
import sys

import psutil
import pytest

from service.radiograph.container_memory import LEAST, memory_for_images, memory_limit

MIB = 1 << 20
RESERVE = 100 * MIB
MACHINE = psutil.virtual_memory().total
NO_LIMIT = 9223372036854771712
"""What cgroup v1 says where nothing is limited."""

GROUPS = {
    "v2, in a container": ("0::/\n", {"memory.max": 200 * MIB}),
    "v2, on a host": (
        "0::/kube.slice/pod.slice/one\n",
        {
            "kube.slice/memory.max": "max",
            "kube.slice/pod.slice/memory.max": 200 * MIB,
            "kube.slice/pod.slice/one/memory.max": 300 * MIB,
        },
    ),
    "v2, outside the group that is mounted": ("0::/../../one\n", {"memory.max": 200 * MIB}),
    "v1, in a container": (
        "5:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n",
        {"memory/memory.limit_in_bytes": 200 * MIB},
    ),
    "v1, on a host": (
        "9:name=systemd:/\n4:memory:/pod/one\n0::/\n",
        {
            "memory/memory.limit_in_bytes": NO_LIMIT,
            "memory/pod/memory.limit_in_bytes": 300 * MIB,
            "memory/pod/one/memory.limit_in_bytes": 200 * MIB,
        },
    ),
}


def mounted(tmp_path, groups: str, limits: dict):
    """A folder of control groups, and the file that names this process's."""
    for name, limit in limits.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{limit}\n")
    (tmp_path / "groups").write_text(groups)
    return tmp_path / "cgroup", tmp_path / "groups"


@pytest.mark.parametrize(("groups", "limits"), GROUPS.values(), ids=list(GROUPS))
def test_the_lowest_limit_of_the_groups_counts(tmp_path, groups, limits):
    """In either version of control groups, as a container sees them or as the host does."""
    assert memory_limit(*mounted(tmp_path, groups, limits)) == 200 * MIB


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("0::/\n", {"memory.max": "max"}),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": NO_LIMIT}),
        ("0::/\n", {}),
        ("0::/\n", {"memory.max": MACHINE + 1}),
    ],
    ids=["v2", "v1", "no group", "a limit above it"],
)
def test_without_a_limit_it_is_the_machines_memory(tmp_path, groups, limits):
    """A group without a limit, no groups at all, or a limit that the machine does not have."""
    assert memory_limit(*mounted(tmp_path, groups, limits)) == MACHINE


def test_without_control_groups_it_is_the_machines_memory(tmp_path):
    """A system that has no such file, as none but Linux does."""
    assert memory_limit(tmp_path, tmp_path / "nowhere") == MACHINE


def test_images_get_what_nothing_else_needs():
    """Without uploads, as on the command line: the limit, less what is held now and the reserve."""
    held = psutil.Process().memory_info().rss
    expected = (8 << 30) - held - RESERVE
    assert memory_for_images(8 << 30, 1 << 30, RESERVE) == pytest.approx(expected, abs=64 * MIB)


def test_there_is_always_room_for_a_radiograph():
    """Where the process alone fills the container, images get the least that there is."""
    assert memory_for_images(1 << 20, 0, 0) == LEAST


WORKER = """
import json, os, psutil, sys
from service.radiograph.container_memory import memory_for_images
sys.stdin.readline()
held = psutil.Process().memory_info().rss
supervisor = psutil.Process().parent().memory_info().rss
print(json.dumps([held, supervisor, memory_for_images(8 << 30, 1 << 30, 100 << 20)]), flush=True)
sys.stdin.readline()
"""


SUPERVISOR = """
import subprocess, sys
command = [sys.executable, "-c", sys.argv[1], "--service-name", "one"]
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
started = [subprocess.Popen(command, **pipes) for _ in range(int(sys.argv[2]))]
for worker in started:
    worker.stdin.write("go\\n")
    worker.stdin.flush()
for worker in started:
    print(worker.stdout.readline(), end="", flush=True)
for worker in started:
    worker.communicate("end\\n")
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_of_one_supervisor_get_equal_parts(workers):
    """What the supervisor does not hold is divided; each keeps its uploads and itself from it."""
    command = [sys.executable, "-c", SUPERVISOR, WORKER, str(workers)]
    said = subprocess.check_output(command, text=True).splitlines()
    assert len(said) == workers
    for held, supervisor, images in map(json.loads, said):
        expected = ((8 << 30) - supervisor) // workers - (1 << 30) - held - RESERVE
        assert images == pytest.approx(expected, abs=32 * MIB)
