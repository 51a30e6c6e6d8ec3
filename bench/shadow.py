"""What the shadow costs: where there is room, and at full load, where it is to stand still.

    python -m bench.shadow

Half of what 32 clients get, as random arrivals, and then the 32 clients; a service with a shadow
and one without take turns (`bench.windows`), both with the log of numbers. The shadow is the same
bundle again.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click
import numpy as np
import psutil

from bench.processes import PREDICTION
from bench.scenarios import MEBIBYTE, Setting
from bench.windows import CLIENTS, Pair, both, counted, failures, ratio

COUNTER = "cxr_shadow_images_total"
SHADOW = "service.serving.shadow_process"


@click.command()
@click.option("--bundle", default="models/demo", show_default=True, metavar="DIR")
@click.option("--shadow", metavar="DIR", help="The second bundle [default: the first].")
@click.option("--share", default=0.1, show_default=True, help="Of the images.")
@click.option("--seconds", default=4.0, show_default=True, help="Of a window.")
@click.option("--pairs", default=16, show_default=True, help="Of windows at half load.")
@click.option("--full-pairs", default=5, show_default=True, help="Of windows at full load.")
def main(
    bundle: str, shadow: str | None, share: float, seconds: float, pairs: int, full_pairs: int
) -> None:
    """Print both."""
    with tempfile.TemporaryDirectory(prefix="cxr-bench-") as temporary:
        folder = Path(temporary)
        given = {"CXR_BUNDLE": str(Path(bundle).resolve())}
        given["CXR_MONITORING_LOG"] = str(folder / "numbers")
        second = {"CXR_SHADOW": str(Path(shadow or bundle).resolve())}
        second["CXR_SHADOW_SHARE"] = str(share)
        with both(folder, given, second) as services:
            peak = services.without.load(clients=CLIENTS, seconds=seconds)["throughput"]
            for title, count, load in (
                (f"half load, {peak / 2:.0f}/s", pairs, {"rate": peak / 2}),
                (f"full load, {CLIENTS} clients", full_pairs, {"clients": CLIENTS}),
            ):
                before = counted(services.with_it, COUNTER)
                found = services.windows(count, seconds=seconds, **load)
                after = counted(services.with_it, COUNTER)
                _print(title, found, {k: v - before.get(k, 0) for k, v in after.items()})
            scored, seconds = _scored_under_load(services.with_it)
            click.echo(f"scored in {seconds:.0f} s in the middle of full load: {scored:.0f}")
            click.echo(
                f"memory: the service's process {_memory(services.without, PREDICTION):.0f} MiB, "
                f"with a shadow {_memory(services.with_it, PREDICTION):.0f} MiB and the shadow's "
                f"{_memory(services.with_it, SHADOW):.0f} MiB"
            )


def _scored_under_load(side: Setting, seconds: float = 5.0) -> tuple[float, float]:
    """Images that the shadow scores while the clients ask: what waits is scored after them."""
    load = side.start(clients=CLIENTS, seconds=seconds + 1)
    time.sleep(2)  # the generator's start, and what waited before
    before, started = counted(side, COUNTER).get("scored", 0.0), time.monotonic()
    time.sleep(seconds)
    scored = counted(side, COUNTER).get("scored", 0.0) - before
    taken = time.monotonic() - started
    load.result()
    return scored, taken


def _memory(side: Setting, role: str) -> float:
    """Mebibytes that a process alone has, found by a word of its command line."""
    for child in psutil.Process(side.served.process.pid).children(recursive=True):
        if role in child.cmdline():
            return float(child.memory_full_info().uss / MEBIBYTE)
    return float("nan")


def _print(title: str, pairs: list[Pair], shadow: dict[str, float]) -> None:
    latencies = [pair.without["latency_ms"]["200"] for pair in pairs]
    click.echo(
        f"{title}, {len(pairs)} pairs of windows: with / without: "
        f"throughput {ratio(pairs, 'throughput')}, p50 {ratio(pairs, 'latency_ms', '200', 'p50')}, "
        f"p99 {ratio(pairs, 'latency_ms', '200', 'p99')} of "
        f"{np.median([each['p99'] for each in latencies]):.1f} ms; {failures(pairs)} failed or "
        f"wrong; answered {sum(pair.with_it['by_status']['200'] for pair in pairs)}, "
        + ", ".join(f"{name} {count:.0f}" for name, count in sorted(shadow.items()))
    )


if __name__ == "__main__":
    main()
