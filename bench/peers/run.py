"""`python -m bench.peers`: every contender in turn, again and again, under the same load."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from bench.drawn import SMALL, draw
from bench.machine import machine, stamp
from bench.peers.contenders import CONTENDERS, INT8, OURS, Contender, quantised
from bench.peers.results import (
    AT,
    CLIENTS,
    FLOAT32_BOUNDS,
    NOTHING,
    claims,
    cost_table,
    latency_table,
    number,
    point,
    rows,
    table,
    throughput_table,
    together,
)
from bench.peers.running import Running, running
from bench.processes import Generator, environment
from bench.published import publish

_FOLDER = Path(__file__).parent
PEERS_PYTHON = _FOLDER.parent.parent / "build/peers/bin/python"
TOLERANCE = 1e-3
SETTLE = 1.0
WARM_UP = 1.5
CARRIES = 1.5
"""Times a rate that a service must be able to do to be measured under it."""
NOT_HAD = (
    "OpenVINO Model Server is not among them: neither PyPI (which has its client only) nor Debian "
    "carries the server, and this run fetches from nowhere else."
)


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        python: Interpreter with the peers' packages.
        bundle: The model, an exported bundle's folder.
        images: Files to send, in turn.
        folder: To write to.
        seconds: Of each load.
        equal_seconds: Of the load that is the same for all.
    """

    python: Path
    bundle: Path
    images: list[Path]
    folder: Path
    seconds: float
    equal_seconds: float

    def run(self, contender: Contender) -> Any:
        """Start a contender: a context manager, see `running`."""
        folder = self.folder / f"{time.monotonic_ns()}"
        return running(contender, self.python, self.bundle, self.images[0], folder)

    def load(self, contender: Contender, url: str, **options: object) -> dict[str, Any]:
        """What `bench.load` reports; answers are compared with the contender's own."""
        body = contender.server.body
        expected = self.folder / f"{contender.server.name}-{contender.precision}.json"
        if not expected.exists():
            learned = Generator(url, self.images, learn=True, body=body).result()
            expected.write_text(json.dumps(learned))
        options = {"settle": SETTLE, "tolerance": TOLERANCE, **options}
        load = Generator(
            url, self.images, body=body, expected=expected, probabilities=True, **options
        )
        report: dict[str, Any] = load.result()
        return report

    def warm_up(self, contender: Contender, url: str) -> float:
        """Load it for a moment, so that batchers learn and allocators grow.

        Returns:
            About how many images a second it does.
        """
        report = self.load(contender, url, clients=16, seconds=WARM_UP, settle=0)
        return max(float(report["throughput"]), 1.0)


def closed(
    plan: Plan, contender: Contender, server: Running, clients: int, speed: float
) -> dict[str, float]:
    """Images a second and latencies with so many clients.

    Clients that start as one may stay in step, so that answers come in waves as long as it takes
    to serve them all: the first wave is for settling, and two more are counted at the least.

    Args:
        plan: How to measure.
        contender: Who.
        server: It, running.
        clients: How many.
        speed: Images a second that it is known to do.
    """
    wave = clients / speed
    times = {"settle": max(SETTLE, wave), "seconds": max(plan.seconds, 2 * wave)}
    return point(plan.load(contender, server.url, clients=clients, **times))


def probe(plan: Plan, contender: Contender) -> float:
    """Images a second at 32 clients, briefly."""
    with plan.run(contender) as server:
        speed = plan.warm_up(contender, server.url)
        return closed(plan, contender, server, int(AT), speed)["throughput"]


def turn(plan: Plan, contender: Contender, rate: float, seed: int) -> dict[str, Any]:
    """Everything of one contender, once."""
    with plan.run(contender) as server:
        speed = plan.warm_up(contender, server.url)
        warm = server.memory()
        points = {str(count): closed(plan, contender, server, count, speed) for count in CLIENTS}
        equal = NOTHING  # what cannot carry the load has no latency under it, only a queue
        if points[AT]["throughput"] > CARRIES * rate:
            options = {"rate": rate, "seconds": plan.equal_seconds, "seed": seed}
            equal = point(plan.load(contender, server.url, **options))
        figures = {
            "start_seconds": server.start_seconds,
            "memory_warm": warm,
            "points": points,
            "equal": equal,
            "memory_end": server.memory(),
        }
    return {"server": contender.server.name, "precision": contender.precision, "figures": figures}


def script(plan: Plan) -> Any:
    """What the seed's way does, without a server."""
    command = [sys.executable, "-m", "bench.peers.seed_script", *map(str, plan.images)]
    done = subprocess.run(
        [*command, f"--seconds={plan.seconds}"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return json.loads(done.stdout)


def tune(plan: Plan, chosen: Sequence[Contender]) -> str:
    """Every peer with what its file has and with what else was tried, at 1 and at 32 clients."""
    body = []
    for contender in chosen:
        for knobs in ({}, *contender.server.alternatives):
            other = replace(contender, knobs=knobs)
            with plan.run(other) as server:
                speed = plan.warm_up(other, server.url)
                loads = [closed(plan, other, server, count, speed) for count in (1, int(AT))]
            said = ", ".join(f"{name} {value}" for name, value in knobs.items())
            line = [f"{other.name}: {said or 'as its file has it'}"]
            line += [f"{number(load['throughput'])}" for load in loads]
            line += [f"{number(load['p99'])}" for load in loads]
            line.append(str(sum(load["failed"] for load in loads)))
            click.echo("  ".join(line), err=True)
            body.append(line)
    head = ["settings", "1 client, /s", f"{AT} clients, /s", "p99, 1", f"p99, {AT}", "failed"]
    return table(head, body)


def measure(plan: Plan, chosen: Sequence[Contender], repeats: int, rate: float | None) -> Any:
    """The whole run; repeats go round all contenders, so that a noisy minute hits them alike.

    Returns:
        The report: machine, rate of the equal load, each turn, the script's figures.
    """
    rate_from = "a rate that was given"
    if rate is None:
        rate_from = f"half of what the slowest int8 peer does at {AT} clients"
        peers = [one for one in CONTENDERS if one.precision == INT8 and not one.ours]
        rate = min(probe(plan, one) for one in peers) / 2
        click.echo(f"equal load: {number(rate)}/s, {rate_from}", err=True)
    turns, scripts = [], []
    for repeat in range(repeats):
        for contender in chosen:
            done = turn(plan, contender, rate, repeat + 1)
            figures = done["figures"]
            speeds = " ".join(number(one["throughput"]) for one in figures["points"].values())
            click.echo(
                f"{repeat + 1}/{repeats} {contender.name}: {speeds} /s, "
                f"p99 {number(figures['equal']['p99'])} ms at equal load",
                err=True,
            )
            turns.append(done)
        scripts.append(script(plan))
    return {
        "machine": machine(),
        "int8": quantised(plan.bundle).precision,
        "repeats": repeats,
        "seconds": plan.seconds,
        "rate": rate,
        "rate_from": rate_from,
        "script": together(scripts),
        "turns": turns,
    }


def describe(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    found, rate = rows(report["turns"]), report["rate"]
    seed = report["script"]
    parts = [
        f"{report['note']}. Medians of {report['repeats']} x {number(report['seconds'])} s; "
        "224-pixel JPEG files; the load generator shares the cores. "
        f"int8 is OpenVINO {report['int8']}, float32 is ONNX Runtime float32, the same files "
        "for everyone. Failed: no answer, a status other than 200, or a probability more than "
        f"{TOLERANCE} from the same service's answer to the image alone.",
        throughput_table(found, OURS),
        f"The seed's way, a script with eager PyTorch, one image after another: "
        f"{number(seed['throughput'])} images/s, p50 {number(seed['latency_ms']['p50'])} ms, "
        f"first answer after {number(seed['start_seconds'])} s, {number(seed['memory'])} MiB.",
        latency_table(found, rate),
        f"The last column is an open loop, {number(rate)} random arrivals a second, "
        f"{report['rate_from']}; a dash where a service cannot carry that.",
        cost_table(found),
        "Memory is PSS of all processes of a service.",
        table(
            ["claim", "value", "bound", "held"],
            [
                [one.text, number(one.value), number(one.bound), "yes" if one.held else "**no**"]
                for one in claims(found, OURS, FLOAT32_BOUNDS[report["int8"]])
            ],
        ),
        NOT_HAD,
    ]
    return "\n\n".join(parts) + "\n"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, metavar="NAME", help="A contender, or all of a server.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=2.5, show_default=True, help="Of each load, after settling.")
@click.option("--quick", is_flag=True, help="One repeat of short loads: does everything work?")
@click.option("--rate", type=float, help="Of the equal load [default: from a probe].")
@click.option("--bundle", default="models/demo", show_default=True, metavar="DIR")
@click.option(
    "--python",
    default=PEERS_PYTHON,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Interpreter with bench/peers/requirements.txt [default: build/peers/bin/python].",
)
@click.option("--tune", "tuning", is_flag=True, help="Measure the peers' other settings instead.")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option(
    "--write",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="Write peers.md and peers.svg there.",
)
def main(
    only: tuple[str, ...],
    repeats: int,
    seconds: float,
    quick: bool,
    rate: float | None,
    bundle: str,
    python: Path,
    tuning: bool,
    out: Path | None,
    write: Path | None,
) -> None:
    """Measure our service and what a user would build instead, side by side.

    Prints the tables in Markdown on standard output and progress on standard error.
    """
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [one for one in CONTENDERS if not only or one.name in only or one.server.name in only]
    if quick:
        repeats, seconds = 1, 2.0
    with tempfile.TemporaryDirectory(prefix="cxr-peers-") as temporary:
        folder = Path(temporary)
        images = draw(folder)[SMALL.name]
        plan = Plan(python, Path(bundle).resolve(), images, folder, seconds, 2 * seconds)
        if tuning:
            click.echo(tune(plan, [one for one in chosen if not one.ours]))
            return
        report = measure(plan, chosen, repeats, rate)
    report["note"] = stamp(report["machine"])
    file = write and write / "peers.md"
    publish(report, describe(report), "bench.peers.plot", out, file, python)
