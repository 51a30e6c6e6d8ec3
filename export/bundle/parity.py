"""Parity: an exported graph against the library's own eager network, never against our wrapper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from export.bundle.check_images import CheckImages
from export.checkpoints.eager import EagerAnswer, run_eager
from service.network.runtime import Outputs, Runtime
from service.network.scores import OPERATING_POINT, op_norm, sigmoid

BATCH_SIZES = (1, 3, 16)
MAX_LOGIT_DIFFERENCE = 1e-4
"""What float32 may differ by: sums are taken in another order, and nothing else happens.

Absolute where no logit of an image is over 10, as in every trained network, and 1e-5 of the
largest one beyond: that is some hundred roundings of float32, and an untrained network's logits
reach hundreds.
"""


@dataclass(frozen=True)
class Deviation:
    """Largest differences of a graph from the library, over all images and named labels.

    Attributes:
        batch_size: Images a run; the last batch may be smaller.
        images: Images compared.
        max_logit: Largest |logit difference|.
        max_logit_relative: Largest |logit difference| / max(1, a tenth of the image's largest
            |logit|).
        max_probability: Largest |probability difference|.
        max_score: Largest |score difference|.
        changed_decisions: Decisions that fell on the other side of the operating point.
        max_cam_relative: Largest |difference|, on the same scale, between the mean of a class
            activation map plus bias and the logit it explains.
        max_feature_relative: Largest |feature difference| / the image's largest feature.
    """

    batch_size: int
    images: int
    max_logit: float
    max_logit_relative: float
    max_probability: float
    max_score: float
    changed_decisions: int
    max_cam_relative: float
    max_feature_relative: float

    def faults(self, limit: float) -> list[str]:
        """The figures that are out of tolerance, in words; empty where there is parity."""
        found = []
        if not self.max_logit_relative <= limit:
            found.append(f"|logit difference| {self.max_logit_relative:.3g} > {limit:g}")
        if not self.max_cam_relative <= limit:
            found.append(f"|mean of cams + bias - logit| {self.max_cam_relative:.3g} > {limit:g}")
        if not self.max_feature_relative <= limit:
            found.append(f"|feature difference| {self.max_feature_relative:.3g} > {limit:g}")
        if self.changed_decisions:
            found.append(f"{self.changed_decisions} changed decisions")
        return [f"batch size {self.batch_size}: {fault}" for fault in found]

    def as_json(self) -> dict[str, float | int]:
        return asdict(self)


def eager_reference(network: torch.nn.Module, evidence: CheckImages) -> EagerAnswer:
    """The library's answers on all images."""
    parts = [run_eager(network, batch) for batch in evidence.batches(16)]
    return EagerAnswer(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.features for part in parts]),
    )


def compare(
    runtime: Runtime,
    reference: EagerAnswer,
    evidence: CheckImages,
    labels: Sequence[str],
    operating_points: Sequence[float],
    bias: np.ndarray,
    batch_size: int,
) -> Deviation:
    """Run a graph over all images in batches of one size and compare it with the library.

    Args:
        runtime: The graph, loaded by the runtime that would serve it.
        reference: The library's answers on the same images.
        evidence: The images.
        labels: One per output, "" where the weights name none; those are left out.
        operating_points: One per output, NaN where none is published.
        bias: The classifier's bias, float32 (18,).
        batch_size: Images a run.
    """
    outputs = run_over(runtime, evidence, batch_size)
    return deviation(outputs, reference, labels, operating_points, bias, batch_size)


def run_over(runtime: Runtime, evidence: CheckImages, batch_size: int) -> Outputs:
    """Run a graph over all images in batches of one size."""
    runs = [runtime.run(batch) for batch in evidence.batches(batch_size)]
    return Outputs(
        np.concatenate([outputs.logits for outputs in runs]),
        np.concatenate([outputs.cams for outputs in runs]),
        np.concatenate([outputs.features for outputs in runs]),
    )


def deviation(
    outputs: Outputs,
    reference: EagerAnswer,
    labels: Sequence[str],
    operating_points: Sequence[float],
    bias: np.ndarray,
    batch_size: int,
) -> Deviation:
    """Compare a graph's answers with the library's; arguments as in `compare`."""
    named = np.array([bool(label) for label in labels])
    logits = outputs.logits
    averages = outputs.cams.mean(axis=(2, 3)) + bias
    probabilities = sigmoid(logits)
    scores = op_norm(probabilities, np.array(operating_points, np.float32))

    scale = np.maximum(1, np.abs(reference.logits).max(axis=1, keepdims=True) / 10)

    def largest(ours: np.ndarray, theirs: np.ndarray) -> float:
        return float(np.abs(ours - theirs)[:, named].max())

    features = np.abs(outputs.features - reference.features).max(axis=1)
    changed = (scores > OPERATING_POINT) != (reference.scores > OPERATING_POINT)
    return Deviation(
        batch_size=batch_size,
        images=len(logits),
        max_logit=largest(logits, reference.logits),
        max_logit_relative=largest(logits / scale, reference.logits / scale),
        max_probability=largest(probabilities, reference.probabilities),
        max_score=largest(scores, reference.scores),
        changed_decisions=int(changed[:, named].sum()),
        max_cam_relative=largest(averages / scale, logits / scale),
        max_feature_relative=float((features / reference.features.max(axis=1)).max()),
    )
