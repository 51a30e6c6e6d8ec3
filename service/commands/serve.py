"""`cxr serve`."""

from __future__ import annotations

import click

from service.commands.variant import variant_options


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@variant_options
def serve(
    host: str, port: int, bundle: str | None, runtime: str | None, precision: str | None
) -> None:
    """Start the HTTP service.

    The bundle is verified first: a missing, damaged or foreign file ends the command with
    exit status 1 and is named. Every setting can be given in the environment as CXR_NAME too;
    `cxr serve` says the ones in force.
    """
    from service.commands.launch import launch
    from service.settings import read_settings

    launch(read_settings(bundle=bundle, runtime=runtime, precision=precision), host, port)
