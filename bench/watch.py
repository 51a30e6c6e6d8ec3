"""How often `cxr watch` calls nothing a drift, and how many images it takes to see one.

    CXR_XRAYS=FOLDER python -m bench.watch

Scores are the network's own of real radiographs (of drawn phantoms without CXR_XRAYS), changed as
a site's images change; facts of acquisition are drawn. Rows are drawn with replacement, so a window
without drift has none.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.site import Population, real, score
from export.demo.phantom import make_phantom
from export.evaluation.operating_point import rate
from export.monitoring.comparison import compare, least
from export.monitoring.table import MISSING, Numbers
from export.monitoring.windows import threshold
from service.network.predictor import open_predictor
from service.radiograph.dicom.acquisition import MANUFACTURERS
from service.settings import read_settings

REFERENCE, WINDOW = 5000, 250
FALSE_ALARM_RATE = 0.01
QUIET_WINDOWS, RUNS, MOST_WINDOWS = 1000, 30, 20
FINDING = "Pneumonia"
PREVALENCE = 0.1
PHANTOMS = 100


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


def drawn(
    draw: np.random.Generator, usual: Population, changed: Population, change: Change, rows: int
) -> Numbers:
    """Rows of the log."""
    hit = draw.random(rows) < (change.share or float(change.age > 0))
    shows = draw.random(rows) < change.prevalence
    probabilities = np.empty(rows)
    for population, of in ((usual, ~hit), (changed, hit)):
        for kind in (True, False):
            rows_of = of & (shows == kind)
            values = population.probabilities[population.truth == kind]
            probabilities[rows_of] = draw.choice(values, rows_of.sum())
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
            f"{FINDING}_probability": probabilities,
            "age_decade": np.where(draw.random(rows) < 0.05, np.nan, ages),
            "bits": draw.choice([12.0, 14.0], rows),
            "width": draw.choice([2021.0, 2500.0, 3000.0], rows),
            "height": draw.choice([2021.0, 2500.0, 3000.0], rows),
        },
        {
            "manufacturer": makers,
            "view": draw.choice([1, 2], rows, p=[0.3, 0.7]),
            "sex": draw.choice([1, 2], rows),
            "modality": np.ones(rows, int),
            "photometric_interpretation": np.full(rows, 2),
        },
        {FINDING: probabilities > 0.155},
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


def populations() -> dict[str, Population]:
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
    found = {"": score(predictor, "usual", truth, images)}
    for name, change in CHANGES.items():
        found[name] = found[""]
        if change.pixels:
            found[name] = score(predictor, name, truth, change.pixels(images).astype(np.float32))
    return found


def main() -> None:
    """Print everything."""
    console = Console(width=150)
    images = populations()
    usual, draw = images[""], np.random.default_rng(2)
    reference = drawn(draw, usual, usual, Change(), REFERENCE)
    limit = threshold(reference, WINDOW, FALSE_ALARM_RATE, QUIET_WINDOWS)
    quiet = sum(
        alarm(reference, drawn(draw, usual, usual, Change(), WINDOW), limit)[0]
        for _ in range(QUIET_WINDOWS)
    )
    found = rate(quiet, QUIET_WINDOWS)
    console.print(
        f"Reference {REFERENCE}, windows of {WINDOW}: {quiet} false alarms in {QUIET_WINDOWS} "
        f"windows without drift, {found.low:.4f} to {found.high:.4f}; stated {FALSE_ALARM_RATE:g}; "
        f"adjusted p at most {limit:.3g}"
    )
    table = Table(
        "change", "seen", "images until seen: median (5 to 95 %)", "column", "windows seen"
    )
    for name, change in CHANGES.items():
        delays, columns, seen = [], [], []
        for _ in range(RUNS):
            for window in range(1, MOST_WINDOWS + 1):
                now = drawn(draw, usual, images[name], change, WINDOW)
                hit, column = alarm(reference, now, limit)
                seen.append(hit)
                if hit:
                    delays.append(window * WINDOW)
                    columns.append(column)
                    break
        low, middle, high = np.quantile(delays, [0.05, 0.5, 0.95]) if delays else (np.nan,) * 3
        most = max(set(columns), key=columns.count) if columns else "–"
        table.add_row(
            name,
            f"{len(delays)} of {RUNS}",
            f"{middle:.0f} ({low:.0f} to {high:.0f})",
            most,
            f"{100 * np.mean(seen):.1f} %",
        )
    console.print(table)


if __name__ == "__main__":
    main()
