"""How often `cxr watch` calls nothing a drift, and how many images it takes to see one.

    CXR_XRAYS=FOLDER python -m bench.watch

Scores and the gate's distances are the network's own of real radiographs (of drawn phantoms without
CXR_XRAYS), changed as a site's images change; facts of acquisition are drawn. Rows are drawn with
replacement, so a window without drift has none. The gate only warns here: what it refuses by
default never gets into the log, and its share is printed. Each change is looked for with the gate's
columns and without them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.site import BATCH, Population, real, score
from export.demo.phantom import make_phantom
from export.evaluation.operating_point import rate
from export.monitoring.comparison import compare, least
from export.monitoring.table import MISSING, Numbers
from export.monitoring.windows import threshold
from service.network.predictor import Predictor, open_predictor
from service.radiograph.dicom.acquisition import MANUFACTURERS
from service.settings import read_settings

REFERENCE, WINDOW = 5000, 250
FALSE_ALARM_RATE = 0.01
QUIET_WINDOWS, RUNS, MOST_WINDOWS = 1000, 30, 20
FINDING = "Pneumonia"
PREVALENCE = 0.1
PHANTOMS = 100
DISTANCE, VERDICT = "input_distance", "input_verdict"


@dataclass(frozen=True)
class Change:
    """What becomes of a share of the images.

    Attributes:
        share: Of the images that it becomes of.
        pixels: Grey levels in [0, 1] to the same; None where they stay.
        prevalence: Of the finding.
        age: Added to the decade of the age.
        manufacturer: Of the changed images; None where it stays.
    """

    share: float = 0.0
    pixels: Callable[[np.ndarray], np.ndarray] | None = None
    prevalence: float = PREVALENCE
    age: int = 0
    manufacturer: str | None = None


def other_grey_scale(levels: np.ndarray) -> np.ndarray:
    """Another maker's curve: brighter in the middle, less black, less white."""
    return 0.08 + 0.84 * levels**0.75


CHANGES = {
    "5 % inverted": Change(0.05, lambda levels: 1 - levels),
    "half of another maker, named": Change(0.5, other_grey_scale, manufacturer="philips"),
    "half of another maker, not named": Change(0.5, other_grey_scale),
    "all of another maker, not named": Change(1.0, other_grey_scale),
    "prevalence doubled": Change(prevalence=2 * PREVALENCE),
    "5 % dark": Change(0.05, lambda levels: levels / 4),
    "ages ten years up": Change(age=10),
    "half of the ages ten years up": Change(0.5, age=10),
}


@dataclass(frozen=True, eq=False)
class Judged:
    """Images with what the gate makes of them.

    Attributes:
        images: With the network's probability.
        distances: float64 (N,).
        unusual: bool (N,), refused ones among them.
        refused: Share that the gate refuses by default.
    """

    images: Population
    distances: np.ndarray
    unusual: np.ndarray
    refused: float


def judged(predictor: Predictor, name: str, truth: list[bool], images: np.ndarray) -> Judged:
    """Score images, float32 (N, 224, 224) in [0, 1], and judge them."""
    gate = replace(predictor.gate, action="refuse")
    parts = [images[first : first + BATCH, None] for first in range(0, len(images), BATCH)]
    features = np.concatenate([predictor.runtime.run(part).features for part in parts])
    found = [gate.judge(one) for one in features]
    return Judged(
        score(predictor, name, truth, images),
        np.array([one.distance for one in found], float),
        np.array([one.verdict != "usual" for one in found]),
        float(np.mean([one.verdict == "refused" for one in found])),
    )


def without_gate(rows: Numbers) -> Numbers:
    """The same without the gate's columns."""
    return replace(
        rows,
        numbers={name: values for name, values in rows.numbers.items() if name != DISTANCE},
        categories={name: values for name, values in rows.categories.items() if name != VERDICT},
    )


def drawn(
    draw: np.random.Generator, usual: Judged, changed: Judged, change: Change, rows: int
) -> Numbers:
    """Rows of the log."""
    found = {name: np.empty(rows) for name in ("probabilities", "distances", "unusual")}
    hit = draw.random(rows) < (change.share or float(change.age > 0))
    shows = draw.random(rows) < change.prevalence
    for population, of in ((usual, ~hit), (changed, hit)):
        for kind in (True, False):
            rows_of = of & (shows == kind)
            of_kind = np.flatnonzero(population.images.truth == kind)
            taken = draw.choice(of_kind, rows_of.sum())
            found["probabilities"][rows_of] = population.images.probabilities[taken]
            found["distances"][rows_of] = population.distances[taken]
            found["unusual"][rows_of] = population.unusual[taken]
    ages = np.clip(draw.normal(5.5, 2, rows) // 1 * 10, 0, 70) + np.where(hit, change.age, 0)
    known = (MISSING, *MANUFACTURERS)
    usually = [known.index(each) for each in ("siemens", "ge", MISSING)]
    makers = draw.choice(usually, rows, p=[0.6, 0.3, 0.1])
    if change.manufacturer:
        makers = np.where(hit, known.index(change.manufacturer), makers)
    return Numbers(
        "drawn",
        (FINDING,),
        {
            f"{FINDING}_probability": found["probabilities"],
            DISTANCE: found["distances"],
            "age_decade": np.where(draw.random(rows) < 0.05, np.nan, ages),
            "bits": draw.choice([12.0, 14.0], rows),
            "width": draw.choice([2021.0, 2500.0, 3000.0], rows),
            "height": draw.choice([2021.0, 2500.0, 3000.0], rows),
        },
        {
            "manufacturer": makers,
            VERDICT: 1 + found["unusual"].astype(int),
            "view": draw.choice([1, 2], rows, p=[0.3, 0.7]),
            "sex": draw.choice([1, 2], rows),
            "modality": np.ones(rows, int),
            "photometric_interpretation": np.full(rows, 2),
        },
        {FINDING: found["probabilities"] > 0.155},
        {FINDING: np.zeros(rows, int)},
        {FINDING: np.full(rows, np.nan)},
        ("0",),
        rows,
    )


def alarm(reference: Numbers, window: Numbers, limit: float) -> tuple[bool, str]:
    """Whether a window is called drifting, and by which column first."""
    tests = compare(reference, window)
    first = min(tests, key=lambda one: one.p_value)
    return least(tests) <= limit, first.column


def populations() -> dict[str, Judged]:
    """The images as they are, and as each change has them."""
    predictor = open_predictor(read_settings())
    if folder := os.environ.get("CXR_XRAYS"):
        parts = real(predictor, Path(folder))
        truth = [shows for part, _ in parts.values() for shows in part]
        images = np.concatenate([images for _, images in parts.values()])
    else:
        truth = [place % 2 == 0 for place in range(2 * PHANTOMS)]
        images = np.stack(
            [make_phantom(4_000_000 + n, opacity=shows).pixels for n, shows in enumerate(truth)]
        )
    found = {"": judged(predictor, "usual", truth, images)}
    for name, change in CHANGES.items():
        found[name] = found[""]
        if change.pixels:
            found[name] = judged(predictor, name, truth, change.pixels(images).astype(np.float32))
    return found


def watched(images: dict[str, Judged], columns: Callable[[Numbers], Numbers], title: str) -> Table:
    """False alarms, and how long each change takes, by some of the columns."""
    usual, draw = images[""], np.random.default_rng(2)
    reference = columns(drawn(draw, usual, usual, Change(), REFERENCE))
    limit = threshold(reference, WINDOW, FALSE_ALARM_RATE, QUIET_WINDOWS)
    quiet = sum(
        alarm(reference, columns(drawn(draw, usual, usual, Change(), WINDOW)), limit)[0]
        for _ in range(QUIET_WINDOWS)
    )
    found = rate(quiet, QUIET_WINDOWS)
    heads = ("change", "seen", "images until seen: median (5 to 95 %)", "column", "windows seen")
    table = Table(
        *(*heads, "gate refuses"),
        title=f"{title}: {quiet} false alarms in {QUIET_WINDOWS} windows without drift, "
        f"{found.low:.4f} to {found.high:.4f}; stated {FALSE_ALARM_RATE:g}",
    )
    for name, change in CHANGES.items():
        delays, first, seen = [], [], []
        for _ in range(RUNS):
            for window in range(1, MOST_WINDOWS + 1):
                now = columns(drawn(draw, usual, images[name], change, WINDOW))
                hit, column = alarm(reference, now, limit)
                seen.append(hit)
                if hit:
                    delays.append(window * WINDOW)
                    first.append(column)
                    break
        low, middle, high = np.quantile(delays, [0.05, 0.5, 0.95]) if delays else (np.nan,) * 3
        table.add_row(
            name,
            f"{len(delays)} of {RUNS}",
            f"{middle:.0f} ({low:.0f} to {high:.0f})",
            max(set(first), key=first.count) if first else "–",
            f"{100 * np.mean(seen):.1f} %",
            f"{100 * images[name].refused:.1f} %" if change.pixels else "–",
        )
    return table


def main() -> None:
    """Print both tables."""
    console = Console(width=150)
    images = populations()
    console.print(f"Reference of {REFERENCE} images, windows of {WINDOW}")
    console.print(watched(images, lambda rows: rows, "With the gate's columns"))
    console.print(watched(images, without_gate, "Without them"))


if __name__ == "__main__":
    main()
