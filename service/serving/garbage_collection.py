"""Garbage collector tuning after start-up."""

from __future__ import annotations

import gc

_NEW_OBJECTS = 20_000
"""How many more objects there must be before they are looked through. A request leaves hardly any
that only the collector can free; at Python's own 700 it looks several times a request."""


def tune_garbage_collector() -> None:
    """Freeze the loaded objects and collect garbage less often.

    Modules and models live as long as the process. To go through all of them again, a hundred and
    fifty thousand objects, holds every thread up for 0.1 s, time and again under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
