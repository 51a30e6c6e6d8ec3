"""`python -m bench.scaling`: our throughput against cores and against the size of the images.

Cores are given by affinity. With fewer than all of them the service has the first ones and the load
generator the last; with all of them nothing is pinned, and the generator takes its share. The same
without HTTP (`bench.floor`) says what the runtime and the decoder make of the cores by themselves.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from bench.drawn import SMALL, draw
from bench.machine import machine, stamp
from bench.peers.results import number, point, table, together
from bench.peers.run import PEERS_PYTHON, SETTLE
from bench.processes import Generator, measure_floor, serving
from bench.published import publish
from export.demo.phantom import make_phantom

SIDES = (224, 512, 1024, 2048, 4096)
FORMATS = ("JPEG", "PNG")
CLIENTS = 16
WHY_CORES = (
    "On fewer than all cores the load generator has one of its own; on all {last} it takes {share} "
    "of one."
)
WHY_SIZES = (
    f"{CLIENTS} clients. JPEG files are decoded at a fraction of their size where that still holds "
    "224 pixels; PNG files have to be inflated whole."
)
_FILES = 2
_FIRST_SEED = 1_100_000


def core_counts(cores: int) -> list[int]:
    """1, 2, 4 and so on, and all."""
    counts = [1]
    while counts[-1] * 2 < cores:
        counts.append(counts[-1] * 2)
    return counts if cores == 1 else [*counts, cores]


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """Start processes on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        folder: To write to.
        seconds: Of each load.
        settings: CXR_... of the service.
    """

    folder: Path
    seconds: float
    settings: dict[str, str]

    def load(self, url: str, images: list[Path], clients: int) -> dict[str, Any]:
        """Images a second, latencies, failures, and the generator's processor time."""
        options = {"clients": clients, "seconds": self.seconds, "settle": SETTLE}
        load = Generator(f"{url}/predict", images, **options)
        report = load.result()
        return point(report) | {"generator_cpu_ms_a_request": report["generator_cpu_ms_a_request"]}


def against_cores(plan: Plan, images: list[Path], repeat: int) -> dict[str, Any]:
    """Images a second of the runtime, of decoder and runtime, and of the service, by cores."""
    cores = sorted(os.sched_getaffinity(0))
    found = {}
    for count in core_counts(len(cores)):
        ours = set(cores[:count])
        with ExitStack() as stack:
            with on_cores(ours):
                floor = measure_floor(images, plan.seconds, plan.settings)
                folder = plan.folder / f"cores-{count}-{repeat}"
                served = stack.enter_context(serving(folder, plan.settings))
                served.wait_until_complete()
            with on_cores(set(cores[-1:]) if count < len(cores) else ours):
                plan.load(served.url, images, 8)
                load = plan.load(served.url, images, 32)
        found[str(count)] = {
            "runtime alone, batch 8": floor["batch_8_a_second"],
            "decoder and runtime, no HTTP": floor["decode_and_run_a_second"][str(SMALL.side)],
            "service, 32 clients": load["throughput"],
            "generator_cpu_ms_a_request": load["generator_cpu_ms_a_request"],
            "failed": load["failed"],
        }
    return found


def draw_sizes(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """The same phantoms as JPEG and PNG of every size: files by format and side."""
    files: dict[str, dict[str, list[Path]]] = {kind: {} for kind in FORMATS}
    for side in SIDES:
        for seed in range(_FILES):
            pixels = make_phantom(_FIRST_SEED + seed, seed % 2 == 0, side).pixels
            image = Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))
            for kind in FORMATS:
                file = folder / kind / f"{side}-{seed}.{kind.lower()}"
                file.parent.mkdir(exist_ok=True)
                buffer = io.BytesIO()
                image.save(buffer, kind, **({"quality": 90} if kind == "JPEG" else {}))
                file.write_bytes(buffer.getvalue())
                files[kind].setdefault(str(side), []).append(file)
    return files


def against_size(
    plan: Plan, files: dict[str, dict[str, list[Path]]], repeat: int
) -> dict[str, Any]:
    """Images a second and the time to decode one, by format and side."""
    found: dict[str, Any] = {}
    with serving(plan.folder / f"sizes-{repeat}", plan.settings) as served:
        served.wait_until_complete()
        for kind, by_side in files.items():
            plan.load(served.url, by_side[str(SIDES[0])], 8)
            found[kind] = {
                side: plan.load(served.url, images, CLIENTS) for side, images in by_side.items()
            }
    for kind, by_side in files.items():
        images = [image for of_side in by_side.values() for image in of_side]
        floor = measure_floor(images, plan.seconds, plan.settings)
        for side, load in found[kind].items():
            load["without_http"] = floor["decode_and_run_a_second"][side]
            load["decode_ms"] = floor["decode_ms"][side]
            size = sum(image.stat().st_size for image in by_side[side])
            load["bytes"] = size / len(by_side[side])
    return found


def describe(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    cores, sizes = report["cores"], report["sizes"]
    last = list(cores)[-1]
    names = [name for name in cores["1"] if not name.startswith(("generator", "failed"))]
    head = ["cores, images/s", *cores, f"{last} / 1"]
    body = [
        [
            name,
            *(number(cores[count][name]) for count in cores),
            number(cores[last][name] / cores["1"][name]),
        ]
        for name in names
    ]
    all_of_them = cores[last]
    speed = all_of_them["service, 32 clients"]
    share = speed * all_of_them["generator_cpu_ms_a_request"] / 1e3
    rows = []
    for kind, by_side in sizes.items():
        for side, load in by_side.items():
            cells = [number(load["bytes"] / 1e3), number(load["decode_ms"])]
            cells += [number(load["throughput"]), number(load["without_http"])]
            cells += [number(load["throughput"] / load["without_http"], 2), str(load["failed"])]
            rows.append([f"{kind}, {side} x {side}", *cells])
    sizes_head = ["", "kB", "decoding, ms", "images/s", "without HTTP", "share", "failed"]
    return (
        "\n\n".join(
            [
                f"{report['note']}. Medians of {report['repeats']} x "
                f"{number(report['seconds'])} s.",
                table(head, body),
                WHY_CORES.format(last=last, share=number(share, 2)),
                table(sizes_head, rows),
                WHY_SIZES,
            ]
        )
        + "\n"
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=2.0, show_default=True, help="Of each load, after settling.")
@click.option("--quick", is_flag=True, help="One repeat of short loads: does everything work?")
@click.option("--part", type=click.Choice(["cores", "sizes"]), help="Only one of the two.")
@click.option("--bundle", default="models/demo", show_default=True, metavar="DIR")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option(
    "--write",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="Write scaling.md and scaling.svg there.",
)
@click.option(
    "--python",
    default=PEERS_PYTHON,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Interpreter with matplotlib, for the plot [default: build/peers/bin/python].",
)
def main(
    repeats: int,
    seconds: float,
    quick: bool,
    part: str | None,
    bundle: str,
    out: Path | None,
    write: Path | None,
    python: Path,
) -> None:
    """Measure our service's throughput against cores and image size."""
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if quick:
        repeats, seconds = 1, 1.0
    by_cores, by_size = [], []
    with tempfile.TemporaryDirectory(prefix="cxr-scaling-") as temporary:
        folder = Path(temporary)
        click.echo("drawing radiographs", err=True)
        small = draw(folder)[SMALL.name]
        files = draw_sizes(folder) if part != "cores" else {}
        plan = Plan(folder, seconds, {"CXR_BUNDLE": str(Path(bundle).resolve())})
        for repeat in range(repeats):
            if part != "sizes":
                by_cores.append(against_cores(plan, small, repeat))
                click.echo(f"{repeat + 1}/{repeats} cores: {by_cores[-1]}", err=True)
            if part != "cores":
                by_size.append(against_size(plan, files, repeat))
                click.echo(f"{repeat + 1}/{repeats} sizes: {_speeds(by_size[-1])}", err=True)
    report: dict[str, Any] = {"machine": machine(), "repeats": repeats, "seconds": seconds}
    report["note"] = stamp(report["machine"])
    if by_cores:
        report["cores"] = together(by_cores)
    if by_size:
        report["sizes"] = together(by_size)
    if part is not None:
        click.echo(json.dumps(report, indent=1))
        return
    file = write and write / "scaling.md"
    publish(report, describe(report), "bench.scaling_plot", out, file, python)


def _speeds(found: dict[str, Any]) -> dict[str, list[str]]:
    return {
        kind: [number(load["throughput"]) for load in by_side.values()]
        for kind, by_side in found.items()
    }


if __name__ == "__main__":
    main()
