"""Threads follow what the process may use, not what the host has."""

import os
import subprocess
import sys

import pytest

from service.network.runtime.threads import cpu_quota, usable_cpus


def _tree(tmp_path, membership, files):
    """A process's control groups as Linux shows them, drawn on disk."""
    listed = tmp_path / "cgroup"
    listed.write_text(membership)
    mount = tmp_path / "mount"
    mount.mkdir()
    for name, text in files.items():
        (mount / name).parent.mkdir(parents=True, exist_ok=True)
        (mount / name).write_text(text)
    return listed, mount


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/pod/box\n", {"pod/box/cpu.max": "400000 100000", "pod/cpu.max": "200000 100000"}, 2),
        ("0::/pod/box\n", {"pod/box/cpu.max": "50000 100000", "pod/cpu.max": "max 100000"}, 0.5),
        ("0::/../../far\n", {"cpu.max": "300000 100000"}, 3),
        ("0::/host/only\n", {"cpu.max": "100000 50000"}, 2),
        ("4:cpu,cpuacct:/box\n0::/\n", _V1 := {
            "cpu/box/cpu.cfs_quota_us": "250000", "cpu/box/cpu.cfs_period_us": "100000",
        }, 2.5),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("4:memory:/box\n", _V1, None),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
        ("0::/\n", {"cpu.max": "100000 0"}, None),
        ("", {}, None),
    ],
    ids=[
        "no quota", "one and a half", "an ancestor is tighter", "the group is tighter",
        "outside the namespace", "the host's path in a container", "version 1",
        "version 1 without quota", "version 1, another controller", "nonsense", "no period",
        "no groups",
    ],
)  # fmt: skip
def test_the_quota_is_the_tightest_of_the_group_and_its_ancestors(
    tmp_path, membership, files, quota
):
    """Every group above the process's own is looked at, in both versions; damage is no quota."""
    assert cpu_quota(*_tree(tmp_path, membership, files)) == quota


def test_no_control_groups_is_no_quota(tmp_path):
    """Where the system has no control groups there is no quota, and no error."""
    assert cpu_quota(tmp_path / "absent", tmp_path) is None


@pytest.mark.parametrize(("quota", "threads"), [("10000", 1), ("100000", 1), ("6400000", None)])
def test_a_quota_cuts_the_affinity_and_is_at_least_one(tmp_path, quota, threads):
    """A tenth of a CPU still gets a thread; a quota over the affinity changes nothing."""
    tree = _tree(tmp_path, "0::/\n", {"cpu.max": f"{quota} 100000"})
    assert usable_cpus(*tree) == (threads or len(os.sched_getaffinity(0)))


def test_one_allowed_core_is_one_thread():
    """A process that is held to one core counts one, whatever the host has."""
    core = min(os.sched_getaffinity(0))
    asked = (
        f"import os; os.sched_setaffinity(0, [{core}]); "
        "from service.network.runtime.threads import usable_cpus; print(usable_cpus())"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
