"""What `cxr score` is measured against: decoder and runtime over the same files, and no more.

Run as `python -m bench.archive_floor LIST`, a text file of paths; prints images a second. The
files' bytes are in memory before the clock starts.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from bench.floor import pipeline, rate
from service.network.predictor import open_predictor
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
    with ThreadPoolExecutor(settings.decoders) as decoders:
        steps = [pipeline(predictor, files[at::slots], batch, decoders) for at in range(slots)]
        found = rate(steps, images=len(files) / slots, warm_up=_WARM_UP)
    click.echo(f"{found:.2f}")


if __name__ == "__main__":
    main()
