"""The memory allocator, told to return what large arrays took."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's `malloc.h`."""

_LARGE = 4 << 20
"""Bytes of an allocation from which on it is mapped by itself and unmapped when it is freed."""

_KEPT = 8 << 20
"""Bytes that are freed and kept, in the part of the heap that each thread has."""


def return_large_arrays() -> None:
    """Have freed arrays of more than a few megabytes returned to the system at once.

    By itself glibc maps large allocations only until one of them is freed. From then on it takes
    those of up to 32 MiB out of each thread's own heap, where what is freed stays behind the next
    small allocation: a process that decoded an image keeps a part of its memory, which images of
    other threads and the container's limit know nothing of. See mallopt(3). Without glibc nothing
    changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
