"""What `cxr score` is measured against: decoder and runtime over the same files, and no more.

Run as `python -m bench.archive_floor LIST`, a text file of paths; prints images a second. The
files' bytes are in memory before the clock starts.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from bench.floor import pipeline
from service.predictor import open_predictor
from service.settings import read_settings


@click.command()
@click.argument("listed", type=click.Path(exists=True, path_type=Path))
@click.option("--batch", default=8, show_default=True)
def main(listed: Path, batch: int) -> None:
    """Decode and run the listed files once, after eight batches to warm up."""
    settings = read_settings()
    predictor = open_predictor(settings)
    files = [Path(line).read_bytes() for line in listed.read_text().splitlines()]
    with ThreadPoolExecutor(settings.decoders) as pool:
        step = pipeline(predictor, files, batch, pool)
        for _ in range(8):
            step()
        done, started = 0, time.monotonic()
        while done < len(files):
            done += step()
        click.echo(f"{done / (time.monotonic() - started):.2f}")


if __name__ == "__main__":
    main()
