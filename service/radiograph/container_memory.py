"""How much memory the container of this process has, and how much of it may go to images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

LEAST = 96 << 20
"""Bytes for images however little memory there is: enough for 8 megapixels of 16 bits."""

_WORKER = "--service-name"
"""On the command line of each worker process that BentoML's supervisor starts."""


def memory_limit(
    mounted: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")
) -> int:
    """Bytes of memory that the processes of this container may take together.

    The lowest limit of the control groups that this process is in (`memory.max` in cgroup v2,
    `memory.limit_in_bytes` in v1; see cgroups(7)), and the machine's physical memory where none is
    lower.

    Args:
        mounted: Where the control groups are mounted.
        groups: The file that names this process's groups.
    """
    return min([psutil.virtual_memory().total, *_group_limits(mounted, groups)])


def _group_limits(mounted: Path, groups: Path) -> Iterator[int]:
    """The limits of this process's groups and of the groups around them."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, file = mounted, "memory.max"
        elif "memory" in controllers.split(","):
            root, file = mounted / "memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container a group is often named as the machine outside sees it, and only its
        # innermost part is mounted: what is not there is passed over.
        group = PurePosixPath(*(part for part in PurePosixPath(path).parts[1:] if part != ".."))
        for folder in (group, *group.parents):
            try:
                text = (root / folder / file).read_text(encoding="ascii").strip()
            except OSError:
                continue
            if text.isdigit():  # else "max"
                yield int(text)


def memory_for_images(limit: int, held: int, reserve: int) -> int:
    """Bytes that this process may spend on images that are decoded, shown or explained.

    The worker processes of one supervisor share its container and get equal parts of it. Of its
    part a worker keeps what it holds now, what uploads and answers may take, and a reserve. A
    process that has no such supervisor, as one of the command line, takes no uploads.

    Args:
        limit: Bytes that the processes of this container may take together.
        held: Bytes that uploads and answers may take together (`CXR_MAX_HELD_BYTES`).
        reserve: Bytes for what else the process will hold.

    Returns:
        At least `LEAST`.
    """
    this = psutil.Process()
    supervisor = this.parent()
    part = limit
    if _is_worker(this) and supervisor is not None:
        workers = sum(_is_worker(child) for child in supervisor.children())
        part = (limit - supervisor.memory_info().rss) // workers - held
    return max(LEAST, part - this.memory_info().rss - reserve)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return _WORKER in process.cmdline()
    except psutil.Error:  # it ended just now
        return False
