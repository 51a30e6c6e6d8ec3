"""Environments of other projects' packages, which pin what this project pins otherwise.

`make clients` makes them.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def interpreter(client: str) -> Path:
    """The interpreter of a client's environment."""
    python = ROOT / "build" / "clients" / client / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{client} is not installed: `make clients` does it")
    return python


def run(python: Path, *arguments: object, cwd: Path | None = None) -> str:
    """What a script prints; it ends well."""
    done = subprocess.run(
        [python, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
