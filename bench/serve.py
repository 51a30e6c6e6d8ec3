"""The service under load and under faults, against its own runtime; of a checkout only.

`python -m bench.serve` in the root of the checkout; it needs the packages of `export`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from bench import faults, scenarios
from bench.drawn import draw
from bench.figures import Summary, summarise, table
from bench.machine import machine
from bench.processes import serving
from bench.scenarios import Scenario, Setting


@dataclass(frozen=True)
class Entry:
    """A scenario by name.

    Attributes:
        run: What it does.
        settings: CXR_… and other variables that it needs to be otherwise.
        fresh: Whether each repeat needs a service of its own, because none survives it.
        once: Whether it is long enough to need no repeat.
    """

    run: Scenario
    settings: dict[str, str] = field(default_factory=dict)
    fresh: bool = False
    once: bool = False


SCENARIOS = {
    "throughput": Entry(scenarios.throughput),
    "alone": Entry(scenarios.alone),
    "many": Entry(scenarios.many, once=True),
    "overload": Entry(scenarios.overload),
    "flood": Entry(scenarios.flood),
    "explained": Entry(scenarios.explained, once=True),
    # A limit that an oversized body passes soon: what is measured is the service, not memcpy.
    "poisoned": Entry(scenarios.poisoned, {"CXR_MAX_BYTES": str(8 << 20)}),
    "killed-prediction": Entry(faults.killed_prediction),
    "killed-explainer": Entry(faults.killed_explainer),
    "killed-supervisor": Entry(faults.killed_supervisor, fresh=True),
    "hung-prediction": Entry(
        faults.hung_prediction, {"CXR_STALL_SECONDS": str(faults.STALL_SECONDS)}
    ),
    "told-to-end": Entry(faults.told_to_end, fresh=True),
    "told-to-end-in-a-container": Entry(
        faults.told_to_end, {"BENTOML_CONTAINERIZED": "true"}, fresh=True
    ),
}


def run(
    names: Sequence[str], settings: dict[str, str], repeats: int, *, quick: bool
) -> list[Summary]:
    """Run scenarios one after the other.

    Args:
        names: Of SCENARIOS.
        settings: CXR_… of the service.
        repeats: Of each scenario that is not long by itself.
        quick: Whether only to see that everything works.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix="cxr-bench-") as temporary:
        folder = Path(temporary)
        click.echo("drawing radiographs", err=True)
        images = draw(folder)
        for name in names:
            entry = SCENARIOS[name]
            times = 1 if entry.once else repeats
            click.echo(f"{name}: {entry.run.__doc__}", err=True)
            runs = _repeat(entry, settings | entry.settings, images, folder / name, times, quick)
            summaries = summarise(name, runs)
            click.echo(table(summaries), err=True)
            found += summaries
    return found


def _repeat(
    entry: Entry,
    settings: dict[str, str],
    images: dict[str, list[Path]],
    folder: Path,
    times: int,
    quick: bool,
) -> list[Any]:
    runs = []
    services = times if entry.fresh else 1
    for number in range(services):
        own = folder / str(number)
        with serving(own, settings) as served:
            served.wait_until_complete()
            for seed in range(times // services):
                runs.append(entry.run(Setting(served, images, own, quick, seed + number + 1)))
    return runs


@click.command()
@click.option(
    "--only",
    "names",
    multiple=True,
    type=click.Choice(list(SCENARIOS)),
    help="A scenario; several may be given [default: all].",
)
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--quick", is_flag=True, help="One short pass: does everything work?")
@click.option("--bundle", default="models/demo", show_default=True, metavar="DIR")
@click.option("--runtime", help="As for `cxr serve`.")
@click.option("--precision", help="As for `cxr serve`.")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def serve(
    names: tuple[str, ...],
    repeats: int,
    quick: bool,
    bundle: str,
    runtime: str | None,
    precision: str | None,
    out: Path | None,
) -> None:
    """Measure the HTTP service: throughput, latency, overload, bad requests, faults.

    Starts the service on a free port, loads it from another process on the same machine and
    compares it with its own runtime in the same run. Settings come from CXR_… in the environment
    as for `cxr serve`. Prints a table on standard output; exit status 1 if a bound was not kept.
    """
    given = {"CXR_BUNDLE": str(Path(bundle).resolve())}
    if runtime:
        given["CXR_RUNTIME"] = runtime
    if precision:
        given["CXR_PRECISION"] = precision
    summaries = run(names or tuple(SCENARIOS), given, 1 if quick else repeats, quick=quick)
    click.echo(table(summaries))
    if out is not None:
        report = {"machine": machine(), "quick": quick, "settings": given}
        report["figures"] = [one.as_json() for one in summaries]
        out.write_text(json.dumps(report, indent=1) + "\n")
    missed = [one for one in summaries if one.held is False]
    if missed:
        raise click.ClickException(f"{len(missed)} of the bounds were not kept")


if __name__ == "__main__":
    serve()
