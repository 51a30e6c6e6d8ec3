"""`cxr bench`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from service.commands.variant import bundle_option

if TYPE_CHECKING:
    from service.network.bundle import Manifest, Measurement

BASELINE = "onnxruntime-float32"


@click.group()
def bench() -> None:
    """Measure on this machine."""


@bench.command()
@bundle_option
@click.option("--threads", type=click.IntRange(1, 256), help="[default: what the process may use]")
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1, 64),
    multiple=True,
    default=(1, 8),
    show_default=True,
    help="Images a run; may be given several times.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Variants to time [default: all].")
@click.option("--seconds", default=1.0, show_default=True, help="Time of one turn.")
@click.option("--rounds", default=5, show_default=True, help="Turns of each variant.")
@click.option("--ceiling/--no-ceiling", default=True, help="Measure what the cores could do.")
def runtimes(
    bundle: str | None,
    threads: int | None,
    batches: tuple[int, ...],
    only: tuple[str, ...],
    seconds: float,
    rounds: int,
    ceiling: bool,
) -> None:
    """Time every variant of the bundle that can run here, in turns.

    \b
      cxr bench runtimes
      cxr bench runtimes --only openvino-int8 --only onnxruntime-float32 --batch 1
      cxr bench runtimes --rounds 1 --seconds 0.2 --no-ceiling

    Exit status: 0 done, 1 failed with the reason on standard error, 2 wrong usage.
    """
    from service.network.bundle import open_bundle
    from service.network.runtime.threads import usable_cpus
    from service.network.variant_speed import (
        faster_than_chosen,
        load_all,
        measure,
        table_of,
        this_machine,
    )
    from service.settings import bundle_folder, read_settings

    settings = read_settings(bundle=bundle, threads=threads)
    opened = open_bundle(bundle_folder(settings))
    _check_names(only, opened.manifest)
    width = settings.threads or usable_cpus()
    loaded, missing = load_all(opened, width, only or None)
    machine = this_machine(width)
    click.echo(f"{machine.processor}, {', '.join(machine.instructions) or 'no 8-bit products'}")
    click.echo(f"{machine.threads} thread{'s' if machine.threads > 1 else ''}")
    turns = len(loaded) * len(batches) * rounds
    click.echo(f"Measuring for about {math.ceil(turns * seconds)} s", err=True)
    rows = measure(loaded, batches, seconds, rounds)
    _print(opened.manifest, rows)
    for name, reason in {**missing, **({} if only else opened.manifest.kept_out)}.items():
        click.echo(f"{name} is not there: {reason}")
    if not rows:
        raise click.ClickException("nothing that --only names can run here")
    if ceiling and opened.manifest.chosen in loaded:
        _print_ceiling(rows, opened.manifest, width)
    if warning := faster_than_chosen(table_of(rows, width), opened.manifest.chosen):
        click.echo(f"Note: {warning}")


def _check_names(only: tuple[str, ...], manifest: Manifest) -> None:
    """Refuse names that the bundle has no variant of.

    Raises:
        click.BadParameter: The message lists the variants.
    """
    variants = [variant.name for variant in manifest.variants]
    for name in only:
        if name not in variants:
            raise click.BadParameter(
                f"the bundle has no variant {name!r}; it has {', '.join(variants)}",
                param_hint="--only",
            )


def _print(manifest: Manifest, rows: tuple[Measurement, ...]) -> None:
    base = {row.batch: row.images_per_second for row in rows if row.variant == BASELINE}
    click.echo(f"{'variant':24}{'batch':>6}{'images/s':>10}{'ms a run':>10}{'x float32':>11}")
    for row in rows:
        times = f"{row.images_per_second / base[row.batch]:.2f}" if row.batch in base else "-"
        mark = "  chosen" if row.variant == manifest.chosen else ""
        click.echo(
            f"{row.variant:24}{row.batch:6}{row.images_per_second:10.1f}"
            f"{row.milliseconds:10.1f}{times:>11}{mark}"
        )


def _print_ceiling(rows: tuple[Measurement, ...], manifest: Manifest, threads: int) -> None:
    from service.network.ceiling import measure_ceiling

    chosen = manifest.variant()
    try:
        best = measure_ceiling(chosen.precision, threads)
    except ImportError:
        return
    reached = max(row.images_per_second for row in rows if row.variant == chosen.name)
    click.echo(
        f"{best.precision} ceiling: {best.gflops:.0f} GFLOP/s in a 2048-cube matrix product, "
        f"{best.images_per_second:.0f} images/s; {chosen.name} reaches "
        f"{reached / best.images_per_second:.2f} of it"
    )
