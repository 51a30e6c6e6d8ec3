"""`cxr node`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from service.node.config import NodeConfig
    from service.node.queue import Queue

_config_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("node.toml"),
    show_default=True,
    help="The node's configuration.",
)


@click.group(invoke_without_command=True)
@_config_option
@click.pass_context
def node(context: click.Context, file: Path) -> None:
    """Run a DICOM node: images from a PACS, results back into their study.

    The HTTP service runs beside it (`cxr serve`) or elsewhere. Needs
    pip install 'cxr-pneumonia[node]'.

    \b
      cxr node --config node.toml           receive, score and deliver
      cxr node --config node.toml check     ask every peer whether it answers
      cxr node --config node.toml status    the queue in numbers, and what is dead
      cxr node --config node.toml retry     try again what is dead
      cxr node --config node.toml drop ID   forget one instance and its results

    Exit status: 0 done, 1 failed with the reason on standard error, 2 wrong usage.
    """
    try:
        import pynetdicom  # noqa: F401 - that it is missing is said before the work
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the DICOM node needs {error.name}, which is not installed: "
            "pip install 'cxr-pneumonia[node]'"
        ) from error
    context.obj = file
    if context.invoked_subcommand is None:
        _run(_config(file), file)


def _config(file: Path) -> NodeConfig:
    from service.node.config import read_config

    return read_config(file)


def _run(config: NodeConfig, file: Path) -> None:
    from service.logs import log_as_supervisor
    from service.node.queue import Queue
    from service.node.senders import sender
    from service.node.supervisor import Supervisor
    from service.node.tls import server_context

    queue = Queue(config.node.queue)
    for each in config.destination:
        sender(each, config.node, queue)  # a certificate that cannot be used ends the start
    if config.node.tls is not None:
        server_context(config.node.tls)
    queue.close()
    log_as_supervisor()
    Supervisor(file.absolute(), config.node.drain_seconds).run()


def _queue(config: NodeConfig) -> Queue:
    from service.node.queue import Queue

    return Queue(config.node.queue)


@node.command()
@click.pass_obj
def check(file: Path) -> None:
    """Ask the service and every destination whether they answer.

    C-ECHO for DIMSE, QIDO-RS for STOW-RS, the capability statement for FHIR.
    """
    from service.node.outcomes import Unreachable
    from service.node.senders import sender
    from service.node.service_client import ServiceClient, ServiceDown

    config = _config(file)
    queue = _queue(config)
    failed = False
    try:
        model = ServiceClient(config.node).model()
        click.echo(f"service: {model.name} {model.version} answers")
    except ServiceDown as fault:
        click.echo(f"service: {fault.why}", err=True)
        failed = True
    for each in config.destination:
        try:
            click.echo(f"{each.name}: {sender(each, config.node, queue).check()}")
        except Unreachable as fault:
            click.echo(f"{each.name}: {fault}", err=True)
            failed = True
    if failed:
        raise SystemExit(1)


@node.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def status(file: Path, as_json: bool) -> None:
    """Show the queue in numbers, and what is dead with the reason."""
    from service.node.dicomweb import queue_counts

    queue = _queue(_config(file))
    counts = queue_counts(queue)
    dead = queue.dead()
    if as_json:
        listed = [{"id": key, "where": where, "reason": reason} for key, where, reason in dead]
        click.echo(json.dumps({**counts, "dead": listed}))
        return
    for state, count in sorted(counts["instances"].items()):
        click.echo(f"instances {state}: {count:,}")
    for name, states in sorted(counts["destinations"].items()):
        for state, count in sorted(states.items()):
            click.echo(f"{name} {state}: {count:,}")
    for stage, seconds in counts["oldest_seconds"].items():
        click.echo(f"oldest, {stage}: {seconds:,.0f} s")
    for key, where, reason in dead:
        click.echo(f"{key} {where}: {reason}")


@node.command()
@click.argument("key", required=False, metavar="[ID]")
@click.pass_obj
def retry(file: Path, key: str | None) -> None:
    """Try again what is dead: the instance ID, or all."""
    click.echo(f"{_queue(_config(file)).retry(key):,} will be tried again")


@node.command()
@click.argument("key", metavar="ID")
@click.pass_obj
def drop(file: Path, key: str) -> None:
    """Forget the instance ID, its file and its results."""
    if not _queue(_config(file)).drop(key):
        raise click.ClickException(f"there is no instance {key}")
    click.echo(f"{key} is forgotten")
