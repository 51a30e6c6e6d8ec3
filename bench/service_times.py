"""What the simulated pods take: `python -m bench.service_times` measures a pod of two cores.

The service runs with its defaults and the load generator on the same cores. Seconds of a batch
are those of the whole service, decoding and HTTP included: a lone client's median, and eight
times the reciprocal of the throughput at 32 clients. Writes service_times.json, which
`bench.autoscale` reads.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from statistics import median

import click
import psutil

from bench.drawn import SMALL, draw
from bench.processes import EXPLAINER, PREDICTION, SUPERVISOR, Served, serving
from bench.scenarios import Setting
from service.settings import read_settings

OUT = Path(__file__).with_name("service_times.json")
_SCHEDULED = 10.0
"""Seconds for what no process of ours does: scheduling, the container's start, the first probe."""


def idle_share(served: Served, seconds: float, cores: int) -> float:
    """Share of the cores that a service takes that nobody asks."""
    found = [served.find(role) for role in (SUPERVISOR, PREDICTION, EXPLAINER)]
    processes = [process for process in found if process is not None]

    def used() -> float:
        times = [process.cpu_times() for process in processes]
        return sum(one.user + one.system for one in times)

    before = used()
    time.sleep(seconds)
    return (used() - before) / seconds / cores


@click.command()
@click.option("--repeats", default=5, show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="For each figure.")
@click.option("--bundle", default="models/demo", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True)
def main(repeats: int, seconds: float, bundle: str, out: Path) -> None:
    """Measure, print and write."""
    settings = {"CXR_BUNDLE": str(Path(bundle).resolve())}
    batch = read_settings().max_batch
    cores = len(psutil.Process().cpu_affinity())
    alone, throughput, starts = [], [], []
    with tempfile.TemporaryDirectory(prefix="cxr-times-") as temporary:
        images = draw(Path(temporary))
        for seed in range(1, repeats + 1):
            folder = Path(temporary, str(seed))
            started = time.monotonic()
            with serving(folder, settings) as served:
                starts.append(time.monotonic() - started)
                served.wait_until_complete()
                setting = Setting(served, images, folder, False, seed)
                one = setting.load(SMALL.name, clients=1, seconds=seconds)
                alone.append(one["latency_ms"]["200"]["p50"] / 1e3)
                throughput.append(
                    setting.load(SMALL.name, clients=32, seconds=seconds)["throughput"]
                )
                time.sleep(1)
                idle = idle_share(served, seconds, cores)
    found = {
        "about": f"Written by bench.service_times: {cores} cores, {SMALL.name} JPEGs, load "
        f"generator on the same cores, medians of {repeats}. Run it on your own nodes.",
        "threads": cores,
        "batch_seconds": {
            "1": round(median(alone), 4),
            str(batch): round(batch / median(throughput), 4),
        },
        "start_seconds": round(median(starts) + _SCHEDULED, 1),
        "idle_cpu": round(idle, 3),
    }
    out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    click.echo(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
