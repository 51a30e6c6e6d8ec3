"""Logits to findings."""

import math

import numpy as np
import pytest
import torch

from export.checkpoints.upstream import OFFICIAL, library
from export.checkpoints.weights import load_weights
from service.network.scores import findings, op_norm, sigmoid

DEMO_POINTS = load_weights("demo").operating_points
VECTORS = {name: official.operating_points for name, official in OFFICIAL.items()}


@pytest.mark.parametrize("points", [*VECTORS.values(), DEMO_POINTS], ids=[*VECTORS, "demo"])
def test_op_norm_equals_the_library_bit_for_bit(points):
    """Scores are TorchXRayVision's for every threshold vector, labels without one included."""
    rng = np.random.default_rng(0)
    probabilities = rng.random((10_000, 18), np.float32)
    probabilities[0], probabilities[1] = 0, 1
    probabilities[2] = np.nan_to_num(np.array(points, np.float32), nan=0.5)
    theirs = library.models.op_norm(
        torch.from_numpy(probabilities), torch.tensor(points, dtype=torch.float32)
    )
    np.testing.assert_array_equal(op_norm(probabilities, np.array(points)), theirs.numpy())


def test_op_norm_meets_at_the_operating_point():
    """Half the point scores 0.25, the point itself 0.5, halfway from it to 1 scores 0.75."""
    scores = op_norm(np.array([[0.1], [0.2], [0.6]], np.float32), np.array([0.2], np.float32))
    np.testing.assert_allclose(scores[:, 0], [0.25, 0.5, 0.75], atol=1e-7)


def test_sigmoid_is_exact_and_survives_the_extremes():
    """The logistic function, without overflow at either end."""
    logits = np.array([-1e4, -2.0, 0.0, 2.0, 1e4], np.float32)
    np.testing.assert_allclose(
        sigmoid(logits), [0, 1 / (1 + math.e**2), 0.5, 1 / (1 + math.e**-2), 1], rtol=1e-6
    )


def test_unnamed_outputs_are_dropped():
    """An output whose label is empty is no finding."""
    found = findings(np.zeros(3, np.float32), ["A", "", "C"], [0.5, 0.5, math.nan])
    assert [finding.label for finding in found] == ["A", "C"]


@pytest.mark.parametrize(
    ("logit", "positive"),
    [(-1.8, False), (-1.7, True), (0.0, True)],
    ids=["below", "just over", "far over"],
)
def test_positive_means_over_the_operating_point(logit, positive):
    """A finding is positive when its score is over 0.5, whatever its probability is."""
    point = 1 / (1 + math.exp(1.75))
    (finding,) = findings(np.array([logit], np.float32), ["Pneumonia"], [point])
    assert finding.positive is positive
    assert (finding.score > 0.5) is positive


def test_exactly_at_the_operating_point_is_not_positive():
    """The decision is score > 0.5 in those terms, so a score of 0.5 is negative."""
    (finding,) = findings(np.zeros(1, np.float32), ["Pneumonia"], [0.5])
    assert finding.score == 0.5
    assert not finding.positive
