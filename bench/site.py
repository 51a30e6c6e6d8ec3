"""Whether what `cxr calibrate` promises holds, on drawn and on real radiographs.

    CXR_XRAYS=FOLDER python -m bench.site

A population is a set of labelled images. A site is drawn from it with replacement, half to fit on
and half to judge on, so that what its cut reaches in the population is known exactly. Drawn
phantoms are printed as another site's equipment might show them, so that the classes overlap.
Without CXR_XRAYS only the drawn ones are measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

from export.demo.phantom import make_phantom
from export.evaluation.calibration import calibration
from export.evaluation.delong import area
from export.evaluation.operating_point import rate
from export.evaluation.site import calibrated
from export.site import cut
from export.site.fit import fit
from export.site.records import Asked
from export.site.sides import Side
from export.site.tails import lower_tail, upper_tail
from service.network.predictor import Predictor, open_predictor
from service.network.scores import sigmoid
from service.network.site import Aim
from service.radiograph.preprocess import INPUT_SIDE
from service.settings import read_settings

RESAMPLINGS = 500
FIRST_SEED = 3_000_000
PHANTOMS = 600
"""Of each class."""
LABEL = "Pneumonia"
ERROR = 0.1
BATCH = 8


@dataclass(frozen=True, eq=False)
class Population:
    """Labelled images with the network's probability of pneumonia.

    Attributes:
        name: As printed.
        truth: bool (N,).
        probabilities: float64 (N,).
    """

    name: str
    truth: np.ndarray
    probabilities: np.ndarray

    def side(self, name: str) -> Side:
        return Side(name, self.truth, self.probabilities, np.arange(len(self.truth)))

    def drawn(self, draw: np.random.Generator, each: int) -> Population:
        """So many images of each class, with replacement."""
        rows = np.concatenate(
            [draw.choice(np.flatnonzero(part), each) for part in (self.truth, ~self.truth)]
        )
        return Population(self.name, self.truth[rows], self.probabilities[rows])

    def at(self, probability: float) -> tuple[float, float]:
        """Sensitivity and specificity of a cut."""
        over = self.probabilities > probability
        return float(over[self.truth].mean()), float((~over[~self.truth]).mean())


def score(predictor: Predictor, name: str, truth: Sequence[bool], images: np.ndarray) -> Population:
    """Score images, float32 (N, 224, 224) in [0, 1], batch by batch."""
    column = predictor.manifest.labels.index(LABEL)
    parts = [images[first : first + BATCH, None] for first in range(0, len(images), BATCH)]
    logits = np.concatenate([predictor.runtime.run(part).logits[:, column] for part in parts])
    return Population(name, np.array(truth), sigmoid(logits).astype(np.float64))


def blurred(levels: np.ndarray) -> np.ndarray:
    """Another site's equipment: blurred, of less contrast, with more noise."""
    noise = np.random.default_rng(int(levels.sum() * 1000)).normal(0, 0.06, levels.shape)
    return np.clip(gaussian_filter(levels, 2) * 0.6 + 0.2 + noise, 0, 1).astype(np.float32)


ALTERATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "upper half of the grey scale": lambda levels: 0.5 + levels / 2,
    "contrast of a quarter": lambda levels: levels / 4 + 0.375,
    "gamma 0.4": lambda levels: levels**0.4,
    "inverted": lambda levels: 1 - levels,
}


def phantoms(predictor: Predictor) -> Population:
    """Phantoms with and without an opacity, on the other site's equipment."""
    truth = [place % 2 == 0 for place in range(2 * PHANTOMS)]
    images = [
        blurred(make_phantom(FIRST_SEED + place, opacity=shows).pixels)
        for place, shows in enumerate(truth)
    ]
    return score(predictor, "phantoms, other equipment", truth, np.stack(images))


def real(predictor: Predictor, folder: Path) -> dict[str, tuple[list[bool], np.ndarray]]:
    """What the network gets of the real radiographs, by part."""
    parts = {}
    for part in ("calibration", "dev"):
        paths = sorted((folder / part).rglob("*.jpeg"))
        pixels = [predictor.prepare(path.read_bytes()).input.pixels[0] for path in paths]
        parts[part] = [path.parent.name == "PNEUMONIA" for path in paths], np.stack(pixels)
    assert all(images.shape[1:] == (INPUT_SIDE, INPUT_SIDE) for _, images in parts.values())
    return parts


def asked(kind: str, value: float) -> Asked:
    """What the command would be asked for."""
    return Asked(
        aim=Aim.model_validate({"kind": kind, "value": value}),
        prevalence=None,
        error=ERROR,
        half_width=0.2,
        patient_column=None,
        by=None,
    )


def before_and_after(
    fitted: Population, judged: Population, published: float, table: Table
) -> None:
    """One site: calibration error, and what the published and the site's cut decide."""
    site, found = fit(
        fitted.side("fitted on"), judged.side("judged on"), asked("sensitivity", 0.95)
    )
    before = calibration(judged.truth, judged.probabilities)
    after = calibration(judged.truth, calibrated(site, judged.probabilities))
    point = site.operating_point
    table.add_row(
        f"{fitted.name} > {judged.name}",
        f"{area(judged.truth, judged.probabilities).value:.3f}",
        f"{before.expected_error:.3f} > {after.expected_error:.3f}",
        f"{before.brier:.3f} > {after.brier:.3f}",
        found.fitted.method,
        "{:.3f}, {:.3f}".format(*judged.at(published)),
        f"{point.sensitivity.value:.3f} ({point.sensitivity.low:.3f} to "
        f"{point.sensitivity.high:.3f}), {point.specificity.value:.3f} "
        f"({point.specificity.low:.3f} to {point.specificity.high:.3f})",
    )


def resampled(population: Population, aim: Aim, each: int, table: Table) -> None:
    """500 sites: what is reached, how often intervals hold, what "uncertain" leaves wrong."""
    draw = np.random.default_rng(1)
    reached, holds, cuts_hold, missed, alarms, uncertain = [], [], [], [], [], []
    place = 0 if aim.kind == "sensitivity" else 1
    counted = population.truth if place == 0 else ~population.truth
    tail = lower_tail if place == 0 else upper_tail
    values = population.probabilities[counted]
    # So many that the tail is the population's own.
    true_cut = tail(np.tile(values, 50), np.arange(50 * len(values)), 1 - aim.value)
    for _ in range(RESAMPLINGS):
        fitted, judged = population.drawn(draw, each), population.drawn(draw, each)
        own = np.arange(2 * each)
        at = cut.choose(fitted.truth, fitted.probabilities, own, aim)
        low, high = cut.interval(fitted.truth, fitted.probabilities, own, aim, None)
        true = population.at(at)[place]
        reached.append(true)
        found = rate(round(judged.at(at)[place] * each), each)
        holds.append(found.low <= true <= found.high)
        cuts_hold.append(low <= true_cut <= high)
        shows = fitted.truth
        lowest = lower_tail(fitted.probabilities[shows], own[shows], ERROR)
        highest = upper_tail(fitted.probabilities[~shows], own[~shows], ERROR)
        p = population.probabilities
        negative, positive = (p <= at) & (p < lowest), (p > at) & (p > highest)
        missed.append(negative[population.truth].mean())
        alarms.append(positive[~population.truth].mean())
        uncertain.append((~negative & ~positive).mean())
    table.add_row(
        population.name,
        f"{aim.kind} {aim.value:g}",
        f"{each} + {each}",
        f"{np.mean(reached):.3f} ({np.quantile(reached, 0.025):.3f} to "
        f"{np.quantile(reached, 0.975):.3f})",
        f"{100 * np.mean(holds):.1f} %",
        f"{100 * np.mean(cuts_hold):.1f} %",
        f"{np.mean(missed):.3f}, {np.mean(alarms):.3f}",
        f"{np.mean(uncertain):.3f}",
    )


def main() -> None:
    """Print everything."""
    console = Console(width=190)
    predictor = open_predictor(read_settings())
    published = dict(zip(predictor.manifest.labels, predictor.manifest.thresholds(), strict=True))[
        LABEL
    ]
    sites = Table(
        *("fitted on > judged on", "AUC", "ECE", "Brier", "calibration"),
        *("sensitivity, specificity before", "after, asked for sensitivity 0.95"),
    )
    sampled = Table(
        *("population", "asked for", "a site", "reached: mean (95 % of sites)"),
        *("judged interval holds", "cut's interval holds", "missed, false alarms", "uncertain"),
    )
    drawn = phantoms(predictor)
    halves = [
        Population(name, drawn.truth[rows], drawn.probabilities[rows])
        for name, rows in (("phantoms", slice(0, 600)), ("others", slice(600, None)))
    ]
    before_and_after(*halves, published, sites)
    populations = [(drawn, 100)]
    if folder := os.environ.get("CXR_XRAYS"):
        parts = real(predictor, Path(folder))
        scored = [score(predictor, name, *part) for name, part in parts.items()]
        before_and_after(*scored, published, sites)
        for name, change in ALTERATIONS.items():
            changed = [
                score(predictor, f"{part}, {name}", truth, change(images).astype(np.float32))
                for part, (truth, images) in parts.items()
            ]
            before_and_after(*changed, published, sites)
        both = Population(
            "real, calibration and dev",
            np.concatenate([one.truth for one in scored]),
            np.concatenate([one.probabilities for one in scored]),
        )
        populations.append((both, 80))
    for population, each in populations:
        for aim in (Aim(kind="sensitivity", value=0.95), Aim(kind="specificity", value=0.9)):
            resampled(population, aim, each, sampled)
    console.print(sites)
    console.print(sampled)


if __name__ == "__main__":
    main()
