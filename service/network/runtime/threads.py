"""CPUs that this process may use, from its affinity and its control groups.

A container is held to its share in two ways that do not show in the host's core count: the set of
CPUs that the process may be scheduled on, and a quota of CPU time that its control group or any
group above it allows. A runtime that starts a thread for every host core under a quota of one is
throttled for most of each period, and its latency is the period, not the work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cpus(membership: Path = MEMBERSHIP, mount: Path = CGROUPS) -> int:
    """CPUs that this process may keep busy: its affinity, cut to its quota, at least 1.

    A quota that is no whole number is rounded up: the part of a CPU that would be left idle
    costs more than the throttling at the end of a period.

    Args:
        membership: The process's control groups, as Linux lists them; another place in tests.
        mount: Where the control groups are mounted.
    """
    quota = cpu_quota(membership, mount)
    cpus = _affinity()
    return cpus if quota is None else max(1, min(cpus, int(-(-quota // 1))))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(membership: Path = MEMBERSHIP, mount: Path = CGROUPS) -> float | None:
    """The tightest CPU quota of the process's control group and all groups above it, in CPUs.

    Reads `cpu.max` of version 2 and `cpu.cfs_quota_us` of version 1 (Linux,
    Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst). What cannot be read
    counts as no quota.

    Returns:
        None where there is no quota.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            for root in (mount, mount / "unified"):
                quotas += [_version_2(group) for group in _ancestry(root, path)]
        elif "cpu" in controllers.split(","):
            for root in (mount / "cpu", mount / controllers):
                quotas += [_version_1(group) for group in _ancestry(root, path)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _ancestry(root: Path, path: str) -> Iterator[Path]:
    """A control group's folder and its ancestors.

    Inside a container the path may be the host's, of which only the end, or nothing, is
    mounted; a folder that is not there holds no quota, and the root is always looked at.
    """
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:depth])


def _version_2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _version_1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((group / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
