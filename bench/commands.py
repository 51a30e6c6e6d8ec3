"""What this folder adds to `cxr bench`; what it needs is imported when it is asked for."""

from __future__ import annotations

import click


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def serve(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Measure the HTTP service under load and faults; needs the packages of `export`."""
    from bench.serve import serve as command

    command.main(list(arguments), context.command_path, standalone_mode=False)
