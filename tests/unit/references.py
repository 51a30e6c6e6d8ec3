"""A small reference of drawn features, fitted as `cxr reference` fits one."""

from types import SimpleNamespace

import numpy as np

from export.reference.alterations import ALTERATIONS
from export.reference.fit import PopulationImages, fit_reference
from service.network.bundle import FEATURES
from service.network.reference import Reference

WEIGHTS = "3c" * 32
MANIFEST = SimpleNamespace(weights=SimpleNamespace(sha256=WEIGHTS), version="4330b11c375d")
_RANDOM = np.random.default_rng(0)
_MIXING = _RANDOM.normal(0, 0.02, (6, FEATURES))
_SHIFTS = {code: _RANDOM.normal(0, 0.03, FEATURES) for code in ALTERATIONS}
_SHIFTS["lateral"] = _RANDOM.normal(0, 0.016, FEATURES)


def usual(images: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Features of usual images: some directions in which they differ, and noise beside."""
    random = np.random.default_rng(seed)
    spread = np.exp(
        random.normal(0, 0.2, (images, 1))
    )  # some are further from the mean than others
    noise = random.normal(0, 0.01, (images, FEATURES))
    roots = 1 + spread * (random.normal(size=(images, 6)) @ _MIXING + noise)
    return np.square(roots + shift).astype(np.float32)


def altered(features: np.ndarray, code: str) -> np.ndarray:
    """Features of the same images, altered."""
    return np.square(np.sqrt(features) + _SHIFTS[code]).astype(np.float32)


def population(name: str, images: int, seed: int, shift: float = 0.0) -> PopulationImages:
    """A population with its alterations."""
    features = usual(images, seed, shift)
    codes = {code: altered(features, code) for code in ALTERATIONS}
    return PopulationImages(name, features, codes, "00" * 32)


def small_reference(*more: PopulationImages, alarm_rate: float = 0.01) -> Reference:
    """A reference of 200 drawn images, which can also name lateral views."""
    lateral = altered(usual(12, 7), "lateral")
    return fit_reference([population("first", 200, 1), *more], MANIFEST, alarm_rate, lateral)
