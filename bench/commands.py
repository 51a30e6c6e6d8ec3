"""`cxr bench`: measurements."""

from __future__ import annotations

import click

from bench.serve import serve


@click.group()
def bench() -> None:
    """Measure: what the service does under load and under faults."""


bench.add_command(serve)
