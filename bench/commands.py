"""`cxr bench`: measurements. What they need is imported when one is asked for."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {"serve": "bench.serve"}
"""The module of each command, which has the command by its own name."""


class _Lazy(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[name]), name)
        return command


@click.group(cls=_Lazy)
def bench() -> None:
    """Measure what the service does; needs the packages of `export`."""
