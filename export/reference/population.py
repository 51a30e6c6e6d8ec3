"""Fitting one population: its distribution, and the thresholds on the distance from it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.model_selection import KFold

from service.network.bundle import DEPTHS
from service.network.reference import DEPTH_SLICES, Population, PopulationRecord

DIRECTIONS = 64
"""Main directions of each depth. With 32, 48, 64, 128 or all, 61, 68, 87, 79 and 74 % of adults'
radiographs are unusual beside those of children, at one false alarm in a hundred."""

FOLDS = 10
SEED = 0

REFUSED_DEVIATIONS = 4.753
"""Standard deviations of the logarithm of the distance beyond its mean from which an image is
refused: a normal variable is beyond them once in a million."""

THRESHOLDS = (
    "Distances of images that were not fitted on, by ten-fold cross-validation. Unusual: their "
    "conformal quantile of the false alarm rate, the largest of them where there are too few. "
    "Refused: 4.753 standard deviations of their logarithm above its mean, one in a million of a "
    "normal distribution."
)


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean, spread and main directions of some images, before the median is known.

    Attributes:
        population: With distances that are not relative to a median, and no thresholds.
        deviations: float32 (3, K), standard deviations along the directions.
    """

    population: Population
    deviations: np.ndarray


def moments(features: np.ndarray) -> Moments:
    """Fit mean, spread and directions.

    Args:
        features: float32 (N, 2560), at least 0, of at least four images.
    """
    roots = np.sqrt(features.astype(np.float64))
    centre = roots.mean(axis=0)
    scale = roots.std(axis=0)
    # A channel that is the same in all images says nothing, however different another image is.
    inverse = np.where(scale > 1e-6, 1 / np.maximum(scale, 1e-6), 0)
    scaled = (roots - centre) * inverse
    directions = min(DIRECTIONS, len(features) // 2)
    basis = np.zeros((directions, features.shape[1]))
    weights, rest, deviations = [], [], []
    for depth in DEPTH_SLICES:
        part = scaled[:, depth]
        shrinkage = ledoit_wolf_shrinkage(part, assume_centered=True)
        _, singular, along = np.linalg.svd(part, full_matrices=False)
        eigenvalues = np.square(singular) / len(part)
        mean = eigenvalues.sum() / part.shape[1]
        large = (1 - shrinkage) * eigenvalues[:directions] + shrinkage * mean
        beside = eigenvalues[directions:].sum() / (part.shape[1] - directions)
        small = (1 - shrinkage) * beside + shrinkage * mean
        basis[:, depth] = along[:directions]
        weights.append(1 / large - 1 / small)
        rest.append(1 / small)
        deviations.append(np.sqrt(large))
    record = PopulationRecord(
        name="", images=len(features), sha256_images="", typical=(0, 0), unusual=0, refused=0
    )
    return Moments(
        Population(
            record,
            *(np.asarray(each, np.float32) for each in (centre, inverse, basis, weights, rest)),
        ),
        np.asarray(deviations, np.float32),
    )


def fit_population(
    name: str, features: np.ndarray, sha256_images: str, alarm_rate: float
) -> Moments:
    """Fit a population and choose its thresholds.

    Args:
        name: For people.
        features: float32 (N, 2560), at least 0.
        sha256_images: Digest of the pixels.
        alarm_rate: Share of such images that may be called unusual.

    Returns:
        The population with distances relative to the median of images not fitted on.
    """
    squared = np.concatenate(list(_held_out(features)))
    medians = np.median(squared, axis=0)
    distances = np.prod((squared / medians) ** (1 / (2 * len(DEPTHS))), axis=1)
    logs = np.log(distances)
    unusual = conformal_quantile(distances, alarm_rate)
    fitted = moments(features)
    plain = fitted.population
    low, high = np.quantile(distances, (0.05, 0.95)).tolist()
    record = PopulationRecord(
        name=name,
        images=len(features),
        sha256_images=sha256_images,
        typical=(low, high),
        unusual=unusual,
        refused=max(unusual, float(np.exp(logs.mean() + REFUSED_DEVIATIONS * logs.std(ddof=1)))),
    )
    relative = Population(
        record,
        plain.centre,
        plain.inverse_scale,
        plain.basis,
        (plain.weights / medians[:, None]).astype(np.float32),
        (plain.rest / medians).astype(np.float32),
    )
    return Moments(relative, fitted.deviations)


def _held_out(features: np.ndarray) -> Iterator[np.ndarray]:
    """Squared distances at each depth, (n, 3), of each fold's images from the others."""
    folds = KFold(min(FOLDS, len(features)), shuffle=True, random_state=SEED)
    for rest, held in folds.split(features):
        yield moments(features[rest]).population.squared_distances(features[held])


def conformal_quantile(values: np.ndarray, rate: float) -> float:
    """The value that one more of the same kind exceeds with at most this probability.

    Of n values it is the one of rank (n + 1)(1 - rate), rounded up (Vovk et al. 2005); the largest
    where there are too few for the rate.
    """
    rank = min(math.ceil((len(values) + 1) * (1 - rate)), len(values))
    return float(np.sort(values)[rank - 1])
