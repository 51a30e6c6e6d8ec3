"""`cxr card`."""

from __future__ import annotations

import click


@click.command()
def card() -> None:
    """Write a model card."""
