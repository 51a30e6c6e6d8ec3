"""The machine that was measured on."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from typing import Any

from service.network.runtime.machine import cpu_name


def machine() -> dict[str, Any]:
    """Processor's name, cores that may be used, Python's version, load before the run."""
    return {
        "processor": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def stamp(found: dict[str, Any]) -> str:
    """Processor, cores and day in words, for a table of what `machine` found."""
    day = datetime.now(timezone.utc).strftime("%-d %B %Y")
    return f"{found['processor']}, {found['cores']} cores, {day}"
