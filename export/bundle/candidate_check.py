"""Checking candidate variants against the library on the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from export.bundle.calibration import gather_calibration
from export.bundle.check_images import CheckImages
from export.bundle.drift import Drift, drift
from export.bundle.emulation import emulate
from export.bundle.parity import BATCH_SIZES, Deviation, deviation, run_over
from export.bundle.variants import CANDIDATES, WEIGHT_BITS, golden_tolerance, write_quantised
from export.checkpoints.eager import EagerAnswer
from export.checkpoints.weights import Weights
from service.network.bundle import Variant
from service.network.runtime import Runtime, load_runtime, unavailable_reason
from service.network.runtime.machine import missing_instructions

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
        emulated: How it was run where this processor cannot; None where it ran as it will.
    """

    variant: Variant
    deviations: tuple[Deviation, ...]
    drift: tuple[Drift, ...]
    logits: np.ndarray
    between_batches: float
    emulated: str | None = None

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
    library: torch.nn.Module
    report: Callable[[str], None]

    def hold(self, variant: Variant, sizes: tuple[int, ...] = BATCH_SIZES) -> CheckedCandidate:
        """Run a variant over all images at each batch size and compare it with the library.

        What this processor has no instructions for is emulated, at the largest size alone.
        """
        runtime, emulated = self._load(variant)
        if emulated is not None:
            sizes = sizes[-1:]
        bias = self.library.classifier.bias.numpy(force=True)
        deviations, answers = [], []
        labels, points = self.weights.labels, self.weights.operating_points
        for size in sizes:
            outputs = run_over(runtime, self.evidence, size)
            found = deviation(outputs, self.reference, labels, points, bias, size)
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
            emulated=emulated,
        )

    def _load(self, variant: Variant) -> tuple[Runtime, str | None]:
        if missing_instructions(variant.needs):
            return emulate(self.folder, variant, self.library)
        return load_runtime(self.folder, variant), None

    def candidates(
        self, limit: float, max_drift: float, calibration: Path | None
    ) -> tuple[list[CheckedCandidate], dict[str, str]]:
        """Build and check the variants whose packages this machine has.

        Returns:
            Those that were tried, and for each that is kept out the reason.
        """
        tried: list[CheckedCandidate] = []
        kept_out: dict[str, str] = {}
        gathered = cache(lambda: gather_calibration(calibration))
        for variant in CANDIDATES:
            anywhere = variant.model_copy(update={"needs": None})
            reason = unavailable_reason(anywhere) or self._evidence_lacking(variant)
            if reason is None:
                if variant.precision in WEIGHT_BITS:
                    images = gathered()
                    self.report(f"{variant.name}: quantising on {images.source}")
                    pneumonia = self.weights.labels.index(PNEUMONIA)
                    write_quantised(self.folder, variant, images, pneumonia)
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
                if variant.precision in WEIGHT_BITS:
                    for name in variant.files:
                        (self.folder / name).unlink(missing_ok=True)
        return tried, kept_out

    def _evidence_lacking(self, variant: Variant) -> str | None:
        """Phantoms are enough for weights that were trained on them, and for no others."""
        real = len(self.evidence.names) - self.evidence.drawn
        if variant.precision not in WEIGHT_BITS or self.weights.demo or real >= MIN_RADIOGRAPHS:
            return None
        return (
            f"8 bits are not chosen without at least {MIN_RADIOGRAPHS} real radiographs to prove "
            f"them on, and there are {real}; name a folder with --images DIR"
        )


def replace_tolerance(variant: Variant, ours: np.ndarray, theirs: np.ndarray) -> Variant:
    """The variant with the golden tolerance that its own answers call for."""
    tolerance = golden_tolerance(variant, ours[:GOLDEN_SIZE], theirs[:GOLDEN_SIZE])
    return variant.model_copy(update={"golden_tolerance": tolerance})
