"""Fitting a reference on images, and measuring how stable it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

import numpy as np

from export.reference.alterations import ALTERATIONS, alter
from export.reference.classifier import fit_classifier
from export.reference.population import SEED, THRESHOLDS, fit_population
from service.network.bundle import Manifest
from service.network.gate import Gate
from service.network.reference import LAYOUT, Reference, ReferenceRecord
from service.network.runtime import Runtime
from service.radiograph.preprocess import pixel_digest

BATCH = 8
HALVES = 10
"""Random halves that stability is measured on."""

FEWEST = 20
"""Images below which nothing is fitted."""

ENOUGH = 200
"""Images from which one false alarm in a hundred can be promised: the second largest of 200
distances is the threshold."""

Tick = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class PopulationImages:
    """Images of one population.

    Attributes:
        name: For people.
        features: float32 (N, 2560).
        altered: The same images altered, by the reason's code, in the same order; of the first
            population only.
        sha256: Digest of the pixels, whatever their order.
    """

    name: str
    features: np.ndarray
    altered: Mapping[str, np.ndarray]
    sha256: str

    def part(self, rows: np.ndarray) -> PopulationImages:
        """Some of the images."""
        altered = {code: features[rows] for code, features in self.altered.items()}
        return replace(self, features=self.features[rows], altered=altered)


def measure(
    name: str,
    pixels: np.ndarray,
    runtime: Runtime,
    tick: Tick = lambda _images: None,
    codes: Iterable[str] = ALTERATIONS,
) -> PopulationImages:
    """Run images and their alterations through the network.

    Args:
        name: Of the population.
        pixels: float32 (N, 1, 224, 224) in [0, 1].
        runtime: In float32: a reference serves every variant.
        tick: Told of images that were run.
        codes: Of the alterations.
    """
    digests = sorted(pixel_digest(image) for image in pixels)
    return PopulationImages(
        name,
        run_features(runtime, pixels, tick),
        {code: run_features(runtime, alter(pixels, code), tick) for code in codes},
        hashlib.sha256("\n".join(digests).encode()).hexdigest(),
    )


def run_features(
    runtime: Runtime, pixels: np.ndarray, tick: Tick = lambda _images: None
) -> np.ndarray:
    """Features of images: float32 (N, 1, 224, 224) to (N, 2560)."""
    parts = []
    for start in range(0, len(pixels), BATCH):
        parts.append(runtime.run(pixels[start : start + BATCH]).features)
        tick(len(parts[-1]))
    return np.concatenate(parts)


def fit_reference(
    populations: Sequence[PopulationImages],
    manifest: Manifest,
    alarm_rate: float,
    lateral: np.ndarray | None = None,
) -> Reference:
    """Fit a reference.

    Args:
        populations: At least one; a reason is named by the first and its alterations.
        manifest: Of the bundle whose network made the features.
        alarm_rate: Share of reference images that may be called unusual by their distance.
        lateral: float32 (M, 2560), features of lateral views; None where there are none.
    """
    fitted = [
        fit_population(each.name, each.features, each.sha256, alarm_rate) for each in populations
    ]
    first = populations[0]
    altered = dict(first.altered)
    if lateral is not None:
        altered["lateral"] = lateral
    classifier, reasons = fit_classifier(fitted[0], first.features, altered)
    record = ReferenceRecord(
        layout=LAYOUT,
        weights_sha256=manifest.weights.sha256,
        bundle_version=manifest.version,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        alarm_rate=alarm_rate,
        thresholds=THRESHOLDS,
        stability=None,
        populations=tuple(each.population.record for each in fitted),
        reasons=reasons,
    )
    return Reference(record, tuple(each.population for each in fitted), classifier)


def with_stability(
    reference: Reference,
    populations: Sequence[PopulationImages],
    manifest: Manifest,
    lateral: np.ndarray | None = None,
    tick: Tick = lambda _images: None,
) -> Reference:
    """Add how many held-out images are not usual when a random half is fitted on."""
    rates = []
    for seed in range(HALVES):
        rate = reference.record.alarm_rate
        rates.append(held_out_alarms(populations, manifest, rate, seed, 0.5, lateral))
        tick(1)
    mean = float(np.mean(rates))
    low, high = np.quantile(rates, (0.05, 0.95)).tolist()
    return replace(
        reference, record=reference.record.model_copy(update={"stability": (mean, low, high)})
    )


def held_out_alarms(
    populations: Sequence[PopulationImages],
    manifest: Manifest,
    alarm_rate: float,
    seed: int,
    share: float,
    lateral: np.ndarray | None = None,
) -> float:
    """Share of the first population's other images that is not usual when a part is fitted on."""
    random = np.random.default_rng(SEED + seed)
    parts, held = [], np.empty(0, int)
    for index, each in enumerate(populations):
        order = random.permutation(len(each.features))
        cut = round(share * len(order))
        parts.append(each.part(order[:cut]))
        if index == 0:
            held = order[cut:]
    gate = Gate(fit_reference(parts, manifest, alarm_rate, lateral))
    verdicts = [gate.judge(row).verdict for row in populations[0].features[held]]
    return float(np.mean([verdict != "usual" for verdict in verdicts]))
