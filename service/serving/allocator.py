"""The memory allocator, told to return what large arrays took."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Names of glibc's `malloc.h`."""

_LARGE = 4 << 20
"""Bytes of an allocation from which on it is mapped by itself and unmapped when it is freed."""

_KEPT = 8 << 20
"""Bytes that are freed and kept, in the part of the heap that each thread has."""

_LARGEST_IN_HEAP = 32 << 20
"""Bytes of an allocation that still comes from a heap, glibc's own limit on 64 bits."""

_KEPT_IN_ONE = 64 << 20
"""Bytes that are freed and kept, where all threads share one heap."""


def return_large_arrays() -> None:
    """Have freed arrays of more than a few megabytes returned to the system at once.

    By itself glibc maps large allocations only until one of them is freed. From then on it takes
    those of up to 32 MiB out of each thread's own heap, where what is freed stays behind the next
    small allocation: a process that decoded an image keeps a part of its memory, which images of
    other threads and the container's limit know nothing of. See mallopt(3). Without glibc nothing
    changes.
    """
    _set({_M_MMAP_THRESHOLD: _LARGE, _M_TRIM_THRESHOLD: _KEPT})


def share_one_heap() -> None:
    """Have all threads take memory from one heap, which keeps some for what comes next.

    For a process that copies files of some megabytes all the time: a fresh mapping for each copy
    costs several times what the copying does. By itself glibc has a heap for each of the first
    threads, and each keeps what was freed in it. See mallopt(3). Without glibc nothing changes.
    """
    _set({_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: _LARGEST_IN_HEAP, _M_TRIM_THRESHOLD: _KEPT_IN_ONE})


def _set(options: Mapping[int, int]) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for name, value in options.items():
        mallopt(name, value)
