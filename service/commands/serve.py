"""`cxr serve`."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import click

from service.commands.variant import site_option, variant_options


def _address(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Refuse a host that is no IP address: the server binds none by its name."""
    try:
        return str(ipaddress.ip_address("127.0.0.1" if value == "localhost" else value))
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is no IP address, such as 127.0.0.1 or 0.0.0.0"
        ) from error


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    callback=_address,
    help="IP address to listen on; 0.0.0.0 for every IPv4 address of this machine.",
)
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--grpc-port",
    type=click.IntRange(1, 65535),
    help="Serve the Open Inference Protocol over gRPC at this port too.",
)
@variant_options
@site_option
def serve(
    host: str,
    port: int,
    grpc_port: int | None,
    bundle: str | None,
    runtime: str | None,
    precision: str | None,
    site: Path | None,
) -> None:
    """Start the HTTP service.

    The file of API keys, the address, the bundle and the site file are checked first: what is
    wrong with them is one line, and a service that is running is left alone. Settings come from
    the environment, as CXR_ and a name.

    \b
      cxr serve
      cxr serve --grpc-port 8001
      cxr serve --port 3001 --bundle models/densenet121-res224-all
      CXR_API_KEYS_FILE=keys.txt cxr serve --host 0.0.0.0

    Exit status: 0 told to end, 1 failed with the reason on standard error, 2 wrong usage.
    """
    from service.commands.launch import launch
    from service.settings import read_settings

    settings = read_settings(
        bundle=bundle, runtime=runtime, precision=precision, site=site, grpc_port=grpc_port
    )
    launch(settings, host, port)
