"""One fit from its arguments to its file, with progress on standard error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

from export.errors import DatasetRefused
from export.reference.alterations import ALTERATIONS
from export.reference.fit import (
    ENOUGH,
    FEWEST,
    HALVES,
    PopulationImages,
    fit_reference,
    measure,
    run_features,
    with_stability,
)
from service.archive.pipeline import read_file
from service.archive.sources import list_sources
from service.errors import ClientFault
from service.network.bundle import Bundle, Manifest, open_bundle
from service.network.predictor import prepare
from service.network.reference import Reference, save_reference
from service.network.runtime import Runtime, open_runtime
from service.radiograph.reader import RadiographReader, reader
from service.settings import Settings, bundle_folder


def run(
    paths: Sequence[str],
    lateral: Path | None,
    out: Path,
    alarm_rate: float,
    settings: Settings,
) -> None:
    """Fit a reference on radiographs and write it.

    Raises:
        DatasetRefused: There are too few images.
        ArchiveRefused: A path leads nowhere.
        SetupFault: The bundle is not to be used.
    """
    bundle = open_bundle(bundle_folder(settings))
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    pixels = _read(paths, bundle, settings, console)
    views = None if lateral is None else _read([str(lateral)], bundle, settings, console)
    if len(pixels) < FEWEST:
        raise DatasetRefused(
            f"{len(pixels)} images are too few: a reference needs at least {FEWEST}, and {ENOUGH} "
            "for one false alarm in a hundred"
        )
    if len(pixels) < ENOUGH:
        console.print(
            f"{len(pixels)} images are few: with fewer than {ENOUGH} the largest distance is the "
            f"threshold, and up to {100 / (len(pixels) + 1):.1f} % of usual images are unusual"
        )
    runtime = float32_runtime(bundle)
    with _progress() as progress:
        images = (len(ALTERATIONS) + 1) * len(pixels) + (0 if views is None else len(views))
        running = progress.add_task("running the network", total=images)
        populations = [
            measure("radiographs", pixels, runtime, lambda n: progress.advance(running, n))
        ]
        features = None
        if views is not None:
            features = run_features(runtime, views, lambda n: progress.advance(running, n))
        reference = fit(populations, bundle.manifest, alarm_rate, features, progress)
    save_reference(reference, out)
    describe(reference, Console(highlight=False, soft_wrap=True))


def fit(
    populations: Sequence[PopulationImages],
    manifest: Manifest,
    alarm_rate: float,
    lateral: np.ndarray | None,
    progress: Progress,
) -> Reference:
    """Fit and measure stability; arguments as for `export.reference.fit.fit_reference`."""
    task = progress.add_task("fitting", total=HALVES + 1)
    # Many small products: threads would wait for each other, longest where others compute too.
    with threadpool_limits(1):
        reference = fit_reference(populations, manifest, alarm_rate, lateral)
        progress.advance(task)
        return with_stability(
            reference, populations, manifest, lateral, lambda n: progress.advance(task, n)
        )


def describe(reference: Reference, console: Console) -> None:
    """Print what was fitted, and how stable it is."""
    record = reference.record
    for population in record.populations:
        console.print(
            f"{population.name}: {population.images} images; 90 % of the distances within "
            f"{population.typical[0]:.2f} to {population.typical[1]:.2f}, unusual over "
            f"{population.unusual:.2f}, refused over {population.refused:.2f}"
        )
    if record.stability is not None:
        mean, low, high = record.stability
        console.print(
            f"Fitted on a random half, {100 * mean:.1f} % of the other half are not usual "
            f"({100 * low:.1f} to {100 * high:.1f} % over {HALVES} halves; asked for: "
            f"{100 * record.alarm_rate:g} %)"
        )


def float32_runtime(bundle: Bundle) -> Runtime:
    """The variant that a reference is fitted by: another precision adds its own noise."""
    return open_runtime(bundle, bundle.manifest.variant("onnxruntime", "float32"))


def read_pixels(
    paths: Sequence[str], source: RadiographReader, decoders: int, console: Console
) -> np.ndarray:
    """Decode and preprocess files as the service does: float32 (N, 1, 224, 224).

    What is refused is printed with the reason and left out.
    """
    pixels = []

    def decode(path: str) -> np.ndarray | ClientFault:
        try:
            return prepare(read_file(Path(path), source.limits), source).input.pixels
        except ClientFault as fault:
            return fault

    with ThreadPoolExecutor(decoders) as pool:
        names: Iterable[str] = [each.path for each in list_sources(paths)]
        for name, decoded in zip(names, pool.map(decode, names), strict=True):
            if isinstance(decoded, ClientFault):
                console.print(f"left out, {name}: {decoded.message}", markup=False)
            else:
                pixels.append(decoded)
    return np.stack(pixels) if pixels else np.zeros((0, 1, 224, 224), np.float32)


def _read(paths: Sequence[str], bundle: Bundle, settings: Settings, console: Console) -> np.ndarray:
    source = reader(settings, bundle.manifest.weights.training_ages)
    return read_pixels(paths, source, settings.decoders, console)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
