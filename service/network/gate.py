"""How unusual an image is beside the reference radiographs, and what becomes of it.

The network answers a leg as readily as a chest. How far its features are from those of reference
radiographs tells them apart (Mahalanobis distance: Lee et al. 2018; on chest radiographs: Wollek et
al. 2024), and a classifier on the same features names what was done to a radiograph: turned,
inverted, taken from the side. Exposure, contrast and border were measured before the network
(`service.radiograph.exposure`); what they found makes an image unusual too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from service.errors import Unprocessable
from service.network.bundle import Bundle
from service.network.reference import Population, Reference, load_reference
from service.radiograph.exposure import Reason
from service.settings import GateAction

Verdict = Literal["usual", "unusual", "refused", "unknown"]

NOT_FITTED = (
    "Whether this is an image of the kind that the model knows was not checked: no reference was "
    "fitted for these weights."
)

LIKELY = 0.7
"""Probability over which a reason is named of an image that is unusual anyway. Radiographs that
were turned or inverted get at least 0.8 in 95 of 100 cases."""

NOT_WHEN_REFUSED = "lateral"
"""Lateral views are unusual, but not as far as what is refused."""

SENTENCES = {
    "turned_90": "It may be turned by 90 degrees clockwise.",
    "turned_180": "It may be upside down.",
    "turned_270": "It may be turned by 90 degrees anticlockwise.",
    "inverted": "Its grey values may be inverted.",
    "lateral": "It may be a lateral view.",
}
"""What the classifier can name; of a reference those that it was trained on."""

FAR = "far_from_reference"


@dataclass(frozen=True)
class Judgement:
    """How unusual an image is.

    Attributes:
        verdict: `usual`; `unusual`, which is warned of; `refused`, which is not scored; `unknown`
            where there is no reference and nothing else is unusual.
        distance: From the nearest population, in units of its median; None where unknown.
        typical: 5 % and 95 % of that population's distances; None where unknown.
        reasons: Codes of what is unusual, the most telling first.
        warnings: Sentences for the reader of the answer.
    """

    verdict: Verdict
    distance: float | None
    typical: tuple[float, float] | None
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Gate:
    """A reference and what becomes of images that are far from it.

    Attributes:
        reference: None where none was fitted for the weights.
        action: `refuse` does not score what is far outside, `warn` scores it with a warning, `off`
            measures no distance.
    """

    reference: Reference | None
    action: GateAction = "refuse"

    def judge(self, features: np.ndarray, exposure: Sequence[Reason] = ()) -> Judgement:
        """Judge an image.

        Args:
            features: float32 (2560,), at least 0.
            exposure: What is unusual about exposure, contrast and border. Their sentences are
                warnings of the file already.
        """
        codes = tuple(reason.code for reason in exposure)
        if self.action == "off" or self.reference is None:
            off = self.action == "off"
            verdict: Verdict = "unusual" if codes else "unknown"
            return Judgement(verdict, None, None, codes, () if off else (NOT_FITTED,))
        population, distance, along = _nearest(self.reference.populations, features[None])
        record = population.record
        far = distance > record.unusual
        named: tuple[str, ...] = ()
        if far or population is self.reference.populations[0]:
            named = _named(self.reference, along, far)
        verdict = "unusual" if far or named or codes else "usual"
        if distance > record.refused:
            named = tuple(code for code in named if code != NOT_WHEN_REFUSED)
        warnings = []
        if far:
            codes = (*codes, FAR)
            warnings.append(
                f"Unusual image: {_how_far(distance, record.typical)}. Scores of such images are "
                "not to be relied on."
            )
        elif named:
            warnings.append("Unusual image: it does not look like an upright frontal radiograph.")
        if far and distance > record.refused and self.action == "refuse":
            verdict = "refused"
        warnings += [SENTENCES[code] for code in named]
        return Judgement(verdict, distance, record.typical, (*named, *codes), tuple(warnings))


def _named(reference: Reference, along: np.ndarray, far: bool) -> tuple[str, ...]:
    """The reason that the classifier names, if it is sure enough.

    Args:
        reference: What the image is held against.
        along: float32 (1, 3 K), its coordinates along the first population's directions.
        far: Whether its distance makes it unusual.
    """
    reasons = reference.record.reasons
    probabilities = reference.classifier.probabilities(along)[0, 1:]
    best = int(probabilities.argmax())
    needed = LIKELY if far else reasons[best].certain
    return (reasons[best].code,) if probabilities[best] > needed else ()


def open_gate(bundle: Bundle, file: Path | None, action: GateAction) -> Gate:
    """Read the reference of a bundle, or the file that was named instead.

    Args:
        bundle: Verified.
        file: Written by `cxr reference`; None takes the bundle's own, where it has one.
        action: What becomes of images that are far from it.

    Raises:
        BundleRefused: The reference cannot be read or belongs to other weights.
    """
    manifest = bundle.manifest
    if file is None and manifest.reference is not None:
        file = bundle.path(manifest.reference)
    reference = None
    if file is not None and action != "off":
        reference = load_reference(file, manifest.weights.sha256)
    return Gate(reference, action)


def require_chest_radiograph(judgement: Judgement) -> None:
    """Refuse an image that is far from every reference radiograph.

    Raises:
        Unprocessable: With the code `not_a_chest_radiograph`; the message says how far it is.
    """
    distance, typical = judgement.distance, judgement.typical
    if judgement.verdict != "refused" or distance is None or typical is None:
        return
    named = "".join(f" {SENTENCES[code]}" for code in judgement.reasons if code in SENTENCES)
    raise Unprocessable(
        f"Not scored: this is no chest radiograph of the kind that the model knows; "
        f"{_how_far(distance, typical)}.{named}",
        code="not_a_chest_radiograph",
        distance=round(distance, 3),
        typical=[round(end, 3) for end in typical],
        reasons=list(judgement.reasons),
    )


def _nearest(
    populations: Sequence[Population], row: np.ndarray
) -> tuple[Population, float, np.ndarray]:
    """The population whose limit an image is furthest within.

    Returns:
        The population, the distance from it, and the coordinates along the first one's directions.
        Where the image is usual in one population, the others are not asked.
    """
    first = populations[0]
    along, distances = first.measure(row)
    nearest, distance = first, float(distances[0])
    share = distance / first.record.unusual
    for population in populations[1:]:
        if share <= 1:
            break
        other = float(population.distances(row)[0])
        if other / population.record.unusual < share:
            nearest, distance, share = population, other, other / population.record.unusual
    return nearest, distance, along


def _how_far(distance: float, typical: tuple[float, float]) -> str:
    return (
        f"its distance from the reference radiographs is {distance:.1f} times their median, and "
        f"95 % of them are within {typical[1]:.1f}"
    )
