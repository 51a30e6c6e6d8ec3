"""Checking candidate variants against the library on the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.bundle.calibration import gather_calibration
from export.bundle.check_images import CheckImages
from export.bundle.drift import Drift, drift
from export.bundle.parity import BATCH_SIZES, Deviation, deviation, run_over
from export.bundle.variants import CANDIDATES, golden_tolerance, write_int8
from export.checkpoints.eager import EagerAnswer
from export.checkpoints.weights import Weights
from service.network.bundle import Variant
from service.network.runtime import load_runtime, unavailable_reason

GOLDEN_SIZE = 2
"""Images of the golden pair: the first of the evidence."""

MIN_RADIOGRAPHS = 16
"""Fewer real images than this are no evidence for 8 bits."""

PNEUMONIA = "Pneumonia"
ENDS = BATCH_SIZES[:1] + BATCH_SIZES[-1:]
"""Batch sizes for what may fail without harm: an export has a minute."""


@dataclass(frozen=True, eq=False)
class CheckedCandidate:
    """A candidate's outputs and its differences from the library.

    Attributes:
        variant: As it is published, where it is.
        deviations: Its distance from the library at each batch size.
        drift: Its differences by group of images, at the largest batch size.
        logits: float32 (N, 18), its answers at the largest batch size.
        between_batches: Largest |logit difference| of one image between batch sizes.
    """

    variant: Variant
    deviations: tuple[Deviation, ...]
    drift: tuple[Drift, ...]
    logits: np.ndarray
    between_batches: float

    def parity_faults(self, limit: float) -> list[str]:
        """Messages for the figures that are out of tolerance for float32."""
        return [
            f"{self.variant.name}, {fault}"
            for found in self.deviations
            for fault in found.faults(limit)
        ]

    def drift_faults(self, limit: float) -> list[str]:
        """Messages for the figures that are over the drift gate."""
        return [fault for found in self.drift for fault in found.faults(limit)]


@dataclass(frozen=True, eq=False)
class CandidateCheck:
    """The images, the library's outputs for them, and the staging folder."""

    folder: Path
    weights: Weights
    evidence: CheckImages
    reference: EagerAnswer
    bias: np.ndarray
    report: Callable[[str], None]

    def hold(self, variant: Variant, sizes: tuple[int, ...] = BATCH_SIZES) -> CheckedCandidate:
        """Run a variant over all images at each batch size and compare it with the library."""
        runtime = load_runtime(self.folder, variant)
        deviations, answers = [], []
        labels, points = self.weights.labels, self.weights.operating_points
        for size in sizes:
            outputs = run_over(runtime, self.evidence, size)
            found = deviation(outputs, self.reference, labels, points, self.bias, size)
            self.report(
                f"{variant.name}, batch size {size}: |logit difference| <= {found.max_logit:.2g}, "
                f"|probability difference| <= {found.max_probability:.2g}, "
                f"{found.changed_decisions} changed decisions"
            )
            deviations.append(found)
            answers.append(outputs)
        return CheckedCandidate(
            variant=replace_tolerance(variant, answers[-1].logits, self.reference.logits),
            deviations=tuple(deviations),
            drift=tuple(drift(answers[-1], self.reference, self.evidence, labels, points)),
            logits=answers[-1].logits,
            between_batches=max(
                float(np.abs(each.logits - answers[0].logits).max()) for each in answers
            ),
        )

    def candidates(
        self, limit: float, max_drift: float, calibration: Path | None
    ) -> tuple[list[CheckedCandidate], dict[str, str]]:
        """Build and check the variants that this machine can run.

        Returns:
            Those that were tried, and for each that is kept out the reason.
        """
        tried: list[CheckedCandidate] = []
        kept_out: dict[str, str] = {}
        for variant in CANDIDATES:
            reason = unavailable_reason(variant) or self._evidence_lacking(variant)
            if reason is None:
                if variant.precision == "int8":
                    images = gather_calibration(calibration)
                    self.report(f"quantising on {images.source}")
                    write_int8(self.folder, images, self.weights.labels.index(PNEUMONIA))
                found = self.hold(variant, ENDS)
                tried.append(found)
                faults = (
                    found.parity_faults(limit)
                    if variant.precision == "float32"
                    else found.drift_faults(max_drift)
                )
                reason = "; ".join(faults)
            if reason:
                self.report(f"{variant.name} is kept out: {reason}")
                kept_out[variant.name] = reason
                if variant.precision == "int8":
                    for name in variant.files:
                        (self.folder / name).unlink(missing_ok=True)
        return tried, kept_out

    def _evidence_lacking(self, variant: Variant) -> str | None:
        """Phantoms are enough for weights that were trained on them, and for no others."""
        real = len(self.evidence.names) - self.evidence.drawn
        if variant.precision != "int8" or self.weights.demo or real >= MIN_RADIOGRAPHS:
            return None
        return (
            f"8 bits are not chosen without at least {MIN_RADIOGRAPHS} real radiographs to prove "
            f"them on, and there are {real}; name a folder with --images DIR"
        )


def replace_tolerance(variant: Variant, ours: np.ndarray, theirs: np.ndarray) -> Variant:
    """The variant with the golden tolerance that its own answers call for."""
    tolerance = golden_tolerance(variant, ours[:GOLDEN_SIZE], theirs[:GOLDEN_SIZE])
    return variant.model_copy(update={"golden_tolerance": tolerance})
