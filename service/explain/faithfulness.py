"""Faithfulness of a map: how far blurring its hottest tenth lowers the score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from service.explain.hotspot import at_input
from service.radiograph.preprocess import INPUT_SIDE

TENTH = 0.1
SIGMA = 24.0
"""Standard deviation of the blur in input pixels: a consolidation melts into its lung."""
RANDOM_TENTHS = 8
SEED = 20


@dataclass(frozen=True)
class Faithfulness:
    """How far the score falls when a tenth of the input is blurred.

    Attributes:
        hottest: Fall of the score when the map's hottest tenth is blurred.
        random: Falls for tenths that are hottest in random maps of the same smoothness.
    """

    hottest: float
    random: tuple[float, ...]

    @property
    def random_mean(self) -> float:
        return float(np.mean(self.random))

    @property
    def better_than(self) -> float:
        """Share of the random tenths whose blurring lowers the score less, in [0, 1]."""
        return float(np.mean([self.hottest > fall for fall in self.random]))


def faithfulness(
    pixels: np.ndarray, values: np.ndarray, score: Callable[[np.ndarray], np.ndarray]
) -> Faithfulness:
    """Blur the hottest tenth and random tenths of one input and score them all in one batch.

    The random tenths are drawn from maps of noise with as many cells as the map has, so they
    are blobs of the same kind; scattered pixels would be another kind of damage.

    Args:
        pixels: float32 (1, 224, 224) in [0, 1].
        values: float32 (n, n) in [0, 1], not all zero.
        score: Of float32 (N, 1, 224, 224), the target's score, (N,); called once, with
            2 + `RANDOM_TENTHS` inputs.
    """
    noise = np.random.default_rng(SEED).random((RANDOM_TENTHS, *values.shape), np.float32)
    blurred = _kernel() @ pixels[0] @ _kernel().T
    inputs = [pixels[0]]
    for each in (values, *noise):
        inputs.append(np.where(hottest_tenth(each), blurred, pixels[0]))
    batch = np.clip(np.stack(inputs), 0, 1).astype(np.float32)[:, None]
    before, hottest, *random = (float(s) for s in score(batch))
    return Faithfulness(before - hottest, tuple(before - after for after in random))


def hottest_tenth(values: np.ndarray) -> np.ndarray:
    """The hottest tenth of the input by a map, (n, n) to bool (224, 224), 5018 of them True."""
    heat = at_input(values).ravel()
    count = round(TENTH * heat.size)
    chosen = np.zeros(heat.size, bool)
    chosen[np.argsort(heat, kind="stable")[-count:]] = True
    return chosen.reshape(INPUT_SIDE, INPUT_SIDE)


@lru_cache(maxsize=1)
def _kernel() -> np.ndarray:
    """A Gaussian blur along one axis as a matrix whose rows sum to 1, so edges do not darken."""
    at = np.arange(INPUT_SIDE, dtype=np.float32)
    weights = np.exp(-((at[:, None] - at) ** 2) / (2 * SIGMA**2))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
