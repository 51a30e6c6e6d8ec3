"""What `cxr score` is measured against: decoder and runtime over the same files, and no more.

Run as `python -m bench.archive_floor LIST`, a text file of paths; prints images a second. The
files' bytes are in memory before the clock starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from bench.floor import pipeline
from service.predictor import open_predictor
from service.settings import read_settings

_WARM_UP = 8
"""Batches that each slot runs before the clock starts."""


@click.command()
@click.argument("listed", type=click.Path(exists=True, path_type=Path))
@click.option("--batch", default=8, show_default=True)
def main(listed: Path, batch: int) -> None:
    """Decode and run the listed files once, as many batches at once as the runtime takes."""
    settings = read_settings()
    predictor = open_predictor(settings)
    files = [Path(line).read_bytes() for line in listed.read_text().splitlines()]
    slots = min(predictor.runtime.slots + predictor.runtime.spare, len(files))

    def warm_up(step: Callable[[], int]) -> None:
        for _ in range(_WARM_UP):
            step()

    def run(step: Callable[[], int], share: list[bytes]) -> int:
        done = 0
        while done < len(share):
            done += step()
        return done

    with ThreadPoolExecutor(settings.decoders) as decoders, ThreadPoolExecutor(slots) as runners:
        shares = [files[slot::slots] for slot in range(slots)]
        steps = [pipeline(predictor, share, batch, decoders) for share in shares]
        list(runners.map(warm_up, steps))
        started = time.monotonic()
        done = sum(runners.map(run, steps, shares))
        click.echo(f"{done / (time.monotonic() - started):.2f}")


if __name__ == "__main__":
    main()
