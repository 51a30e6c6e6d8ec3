"""The drift gate: a bound on a variant's differences from the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from export.bundle.check_images import CheckImages
from export.checkpoints.eager import EagerAnswer
from service.network.runtime import Outputs
from service.network.scores import OPERATING_POINT, op_norm, sigmoid

MAX_PROBABILITY_DIFFERENCE = 0.03
MAX_FEATURE_NOISE = 0.1
"""What a reduced precision may add to the features, of what tells images apart. int8 adds 0.025 on
phantoms, bfloat16 0.018."""

RESAMPLES = 1000
PNEUMONIA = "Pneumonia"


@dataclass(frozen=True)
class ChangedDecision:
    """A decision that differs from the library's.

    Attributes:
        image: Name of the image.
        label: The pathology.
        eager: The library's probability.
        variant: The variant's probability.
        distance: |library's probability - operating point|.
    """

    image: str
    label: str
    eager: float
    variant: float
    distance: float


@dataclass(frozen=True)
class AucDifference:
    """Area under the ROC curve of pneumonia, the variant's less the library's.

    Attributes:
        eager: The library's area.
        difference: The variant's less the library's.
        low: Lower end of the difference's 95 % confidence interval (paired bootstrap).
        high: Upper end.
        images: Labelled images.
    """

    eager: float
    difference: float
    low: float
    high: float
    images: int


@dataclass(frozen=True)
class Drift:
    """Differences from the library over the named labels of a group of images.

    `feature_noise` is the root mean square of the differences between the square roots of the
    features, divided by that between an image's and the group's mean: the gate takes distances
    between square roots (`service.network.gate`).
    """

    group: str
    images: int
    max_probability: float
    p99_probability: float
    mean_probability: float
    max_score: float
    p99_score: float
    max_logit: float
    feature_noise: float
    changed: tuple[ChangedDecision, ...]
    auc: AucDifference | None

    def faults(self, limit: float) -> list[str]:
        """Reasons why the variant is not published; empty where it passes.

        A changed decision is a fault only on an image that lies further from its operating
        point than probabilities may differ. Nearer than that the library itself is a coin toss.
        """
        found = []
        if not self.max_probability <= limit:
            found.append(f"|probability difference| {self.max_probability:.3g} > {limit:g}")
        if not self.feature_noise <= MAX_FEATURE_NOISE:
            found.append(f"noise of the features {self.feature_noise:.3g} > {MAX_FEATURE_NOISE:g}")
        far = [change for change in self.changed if not change.distance <= limit]
        if far:
            found.append(
                f"{len(far)} changed decisions further than {limit:g} from the operating point, "
                f"first {far[0].label} on {far[0].image}"
            )
        return [f"{self.group}: {fault}" for fault in found]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def drift(
    outputs: Outputs,
    reference: EagerAnswer,
    evidence: CheckImages,
    labels: Sequence[str],
    operating_points: Sequence[float],
) -> list[Drift]:
    """Compare a variant's outputs with the library's, phantoms and radiographs apart.

    Args:
        outputs: The variant's.
        reference: The library's answers on the same images.
        evidence: The images.
        labels: One per output, "" where the weights name none; those are left out.
        operating_points: One per output, NaN where none is published.
    """
    logits = outputs.logits
    probabilities = sigmoid(logits)
    scores = op_norm(probabilities, np.array(operating_points, np.float32))
    named = [index for index, label in enumerate(labels) if label]

    def of(group: str, part: slice) -> Drift:
        apart = np.abs(probabilities - reference.probabilities)[part][:, named]
        apart_scores = np.abs(scores - reference.scores)[part][:, named]
        flipped = (scores > OPERATING_POINT) != (reference.scores > OPERATING_POINT)
        changed = tuple(
            ChangedDecision(
                image=evidence.names[row],
                label=labels[column],
                eager=float(reference.probabilities[row, column]),
                variant=float(probabilities[row, column]),
                distance=_distance(reference.probabilities[row, column], operating_points[column]),
            )
            for row in range(len(logits))[part]
            for column in named
            if flipped[row, column]
        )
        pneumonia = labels.index(PNEUMONIA)
        return Drift(
            group=group,
            images=len(apart),
            max_probability=float(apart.max()),
            p99_probability=float(np.quantile(apart, 0.99)),
            mean_probability=float(apart.mean()),
            max_score=float(apart_scores.max()),
            p99_score=float(np.quantile(apart_scores, 0.99)),
            max_logit=float(np.abs(logits - reference.logits)[part][:, named].max()),
            feature_noise=_noise(outputs.features[part], reference.features[part]),
            changed=changed,
            auc=auc_difference(
                reference.logits[part, pneumonia],
                logits[part, pneumonia],
                evidence.positive[part],
            ),
        )

    return [of(group, part) for group, part in evidence.groups().items()]


def _noise(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Noise of a group's features, of their spread; 0 where a single image has none."""
    roots = np.sqrt(theirs)
    noise = np.square(np.sqrt(ours) - roots).mean()
    spread = np.square(roots - roots.mean(axis=0)).mean()
    return float(np.sqrt(noise / spread)) if spread > 0 else 0.0


def _distance(probability: float, operating_point: float) -> float:
    """Distance of a probability from its operating point; from 0.5 where none is published."""
    return float(abs(probability - (0.5 if np.isnan(operating_point) else operating_point)))


def auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive outranks a negative, ties by half.

    By rank sums (Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve").
    """
    count = int(positive.sum())
    ranks = rankdata(scores)[positive].sum() - count * (count + 1) / 2
    return float(ranks / (count * (len(scores) - count)))


def auc_difference(
    eager: np.ndarray, variant: np.ndarray, positive: Sequence[bool | None]
) -> AucDifference | None:
    """AUC of a variant less the library's, with its interval by resampling images in pairs.

    Returns:
        None where the labelled images are not of both classes.
    """
    known = np.array([label is not None for label in positive], bool)
    truth = np.array([bool(label) for label in positive], bool)[known]
    if truth.all() or not truth.any():
        return None
    ours, theirs = variant[known], eager[known]
    rng = np.random.default_rng(0)
    classes = [np.flatnonzero(truth), np.flatnonzero(~truth)]
    resampled = []
    for _ in range(RESAMPLES):
        taken = np.concatenate([rng.choice(members, len(members)) for members in classes])
        resampled.append(auc(truth[taken], ours[taken]) - auc(truth[taken], theirs[taken]))
    low, high = np.quantile(resampled, (0.025, 0.975))
    base = auc(truth, theirs)
    return AucDifference(base, auc(truth, ours) - base, float(low), float(high), len(truth))
