"""The demo weights' own reference: `python -m export.reference.demo DIR... --lateral DIR`.

It has two populations: radiographs of children, on which these weights were trained, and drawn
phantoms like those that the page offers, on which they were trained too.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress

from export.checkpoints.weights import DEMO_REFERENCE
from export.demo.phantom import make_phantom
from export.reference.fit import measure, run_features
from export.reference.run import describe, fit, float32_runtime, read_pixels
from service.network.bundle import open_bundle
from service.network.reference import save_reference
from service.radiograph.preprocess import preprocess
from service.radiograph.radiograph import Radiograph, Source
from service.radiograph.reader import reader
from service.settings import bundle_folder, read_settings

SEEDS = range(70_000, 70_120)
"""Apart from those that trained the weights, calibrate 8 bits or are compared on."""

SIDES = (224, 384, 1024)


def drawn_phantoms() -> np.ndarray:
    """Phantoms of several sizes, every fourth wider than high, with 64 or 256 grey levels.

    Returns:
        float32 (N, 1, 224, 224) in [0, 1].
    """
    pixels = []
    for number, seed in enumerate(SEEDS):
        side, step = SIDES[number % len(SIDES)], (1, 4)[number // 2 % 2]
        for planted in (False, True):
            levels = make_phantom(seed, planted, side).pixels * 255
            levels = np.minimum(np.rint(levels / step) * step, 255).astype(np.uint8)
            if number % 4 == 0:
                levels = levels[: side * 3 // 4]
            rows, columns = levels.shape
            source = Source("PNG", 8, columns, rows, "full range of 8 bits")
            pixels.append(preprocess(Radiograph(levels, 255.0, source)).pixels)
    return np.stack(pixels)


@click.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--lateral", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), default=DEMO_REFERENCE)
@click.option("--alarm-rate", type=float, default=0.01)
def main(paths: tuple[str, ...], lateral: Path | None, out: Path, alarm_rate: float) -> None:
    """Fit it on radiographs and on phantoms."""
    settings, console = read_settings(), Console(stderr=True)
    bundle = open_bundle(bundle_folder(settings))
    runtime = float32_runtime(bundle)
    source = reader(settings, bundle.manifest.weights.training_ages)

    def pixels(named: tuple[str, ...]) -> np.ndarray:
        return read_pixels(named, source, settings.decoders, console)

    views = None if lateral is None else run_features(runtime, pixels((str(lateral),)))
    populations = [
        measure("radiographs of children", pixels(paths), runtime),
        measure("drawn phantoms", drawn_phantoms(), runtime, codes=()),
    ]
    with Progress(console=console) as progress:
        reference = fit(populations, bundle.manifest, alarm_rate, views, progress)
    save_reference(reference, out)
    describe(reference, Console())


if __name__ == "__main__":
    main()
