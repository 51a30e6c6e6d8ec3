"""Training the classifier that names what was done to an image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from export.reference.population import SEED, Moments, conformal_quantile
from service.network.gate import LIKELY
from service.network.reference import Classifier, ReasonRecord

FOLDS = 5
PENALTY = 0.01
"""Inverse strength of the ridge, in the middle of those that name turns and inversion best."""

ALARM_RATE = 0.002
"""Share of usual images for which a reason may be certain."""


def fit_classifier(
    first: Moments, usual: np.ndarray, altered: Mapping[str, np.ndarray]
) -> tuple[Classifier, tuple[ReasonRecord, ...]]:
    """Train on usual images and on altered ones, and choose from when on a reason is certain.

    Args:
        first: The population whose directions are used.
        usual: float32 (N, 2560), features of images as they should be.
        altered: By the reason's code, features of the same images altered, in the same order; or
            of other images, of which there may be any number.

    Returns:
        The classifier, and its reasons in the order of its classes behind the first.
    """
    codes = list(altered)
    coordinates = [_whitened(first, each) for each in (usual, *altered.values())]
    held_out = np.zeros((len(usual), len(codes)))
    for rest, held in KFold(FOLDS, shuffle=True, random_state=SEED).split(usual):
        # An image and its alterations are on one side.
        parts = [part[rest] if len(part) == len(usual) else part for part in coordinates]
        held_out[held] = _train(parts).predict_proba(coordinates[0][held])[:, 1:]
    largest = np.array([conformal_quantile(column, ALARM_RATE) for column in held_out.T])
    certain = np.maximum(largest, LIKELY)
    model = _train(coordinates)
    # Trained on coordinates with a deviation of 1; used on those as they are.
    folded = model.coef_ / first.deviations.ravel()
    reasons = tuple(
        ReasonRecord(
            code=code,
            certain=float(sure),
        )
        for code, sure in zip(codes, certain, strict=True)
    )
    classifier = Classifier(folded.astype(np.float32), model.intercept_.astype(np.float32))
    return classifier, reasons


def _whitened(first: Moments, features: np.ndarray) -> np.ndarray:
    along, _ = first.population.measure(features)
    return along / first.deviations.ravel()


def _train(parts: list[np.ndarray]) -> LogisticRegression:
    classes = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    model = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=1000)
    return model.fit(np.concatenate(parts), classes)
