"""The machine that was measured on."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Processor's name, cores that may be used, Python's version, load before the run."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def stamp(found: dict[str, Any]) -> str:
    """Processor, cores and day in words, for a table of what `machine` found."""
    day = datetime.now(timezone.utc).strftime("%-d %B %Y")
    return f"{found['processor']}, {found['cores']} cores, {day}"
