"""The images of one finding: those that are fitted on, those that are judged on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from export.errors import FitRefused
from export.evaluation.records import Rate
from export.evaluation.scoring import Scored
from export.site import power
from export.site.clusters import clustered_rate
from export.site.patients import patients


@dataclass(frozen=True, eq=False)
class Side:
    """The images of one finding on one side.

    Attributes:
        name: In messages: "fitted on", "judged on".
        truth: bool (N,).
        probabilities: float64 (N,), the network's.
        patients: (N,), whose each image is.
    """

    name: str
    truth: np.ndarray
    probabilities: np.ndarray
    patients: np.ndarray

    @cached_property
    def positives(self) -> int:
        """Patients with an image that shows the finding."""
        return len(np.unique(self.patients[self.truth]))

    @cached_property
    def negatives(self) -> int:
        """Patients with an image that does not."""
        return len(np.unique(self.patients[~self.truth]))

    def require(self, with_finding: int, without: int, why: str) -> None:
        """Refuse too few patients of either class.

        Raises:
            FitRefused: The message has the number needed.
        """
        among = f"among those {self.name}"
        power.require(f"with the finding {among}", self.positives, with_finding, why)
        power.require(f"without it {among}", self.negatives, without, why)

    def reached(self, positive: np.ndarray) -> tuple[Rate, Rate]:
        """Sensitivity and specificity of decisions, bool (N,)."""
        shows, whose = self.truth, self.patients
        return (
            clustered_rate(positive[shows], whose[shows]),
            clustered_rate(~positive[~shows], whose[~shows]),
        )


def side(name: str, scored: Scored, label: str, column: str | None) -> Side:
    """The images whose label is known.

    Raises:
        FitRefused: They are all of one class, or there are none.
    """
    known = scored.known(label)
    truth = scored.truth(label)[known]
    if not len(truth):
        raise FitRefused(f"no image {name} is labelled")
    if truth.all() or not truth.any():
        all_ = "show the finding" if truth.all() else "are without it"
        raise FitRefused(f"the images {name} are all of one class: all {len(truth)} {all_}")
    return Side(
        name,
        truth,
        scored.probabilities[known, scored.pathologies.index(label)],
        patients(scored.images, column)[known],
    )
