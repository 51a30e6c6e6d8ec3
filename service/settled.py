"""What a process that has started does not look at again."""

from __future__ import annotations

import gc


def settle() -> None:
    """Take what is loaded out of the garbage collector's sight.

    Modules and models live as long as the process. To go through all of them again, a hundred and
    fifty thousand objects, holds every thread up for 0.1 s, time and again under load.
    """
    gc.collect()
    gc.freeze()
