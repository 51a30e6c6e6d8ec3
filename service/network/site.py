"""A site's file: operating points, calibration and "uncertain", fitted to its own radiographs.

`cxr calibrate` writes it. It is JSON, belongs to one bundle, and carries the SHA-256 of its own
content: whoever changes a number makes a file that is refused. The digest tells damage and
careless edits; it is no signature.

All of it works on the network's `probability`. `score` and `positive` stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import SiteRefused
from service.network.bundle import Manifest

FORMAT = 1
"""Version of the file's layout; a service reads exactly the one it knows."""

EDGE = float(np.finfo(np.float32).eps) / 2
"""Probabilities are float32: nearer to 0 or 1 than this they say no more than the edge."""

Decision = Literal["positive", "negative", "uncertain"]
_Probability = Annotated[float, Field(ge=0, le=1)]
_Inside = Annotated[float, Field(gt=0, lt=1)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Aim(_Record):
    """What an operating point was chosen for.

    Sensitivity and specificity are at least `value`; as a cost, `value` is what a missed finding
    costs in false alarms.
    """

    kind: Literal["sensitivity", "specificity", "cost"]
    value: float = Field(gt=0)


class Share(_Record):
    """A share with its 95 % interval, judged on other patients than it was fitted on."""

    count: int
    of: int
    value: float
    low: float
    high: float


class OperatingPoint(_Record):
    """A cut of the probability: positive is what lies over it."""

    probability: _Probability
    low: _Probability = Field(description="Of the cut's 95 % interval.")
    high: _Probability
    aim: Aim
    sensitivity: Share
    specificity: Share


class Platt(_Record):
    """Logistic regression on the log odds (Platt 1999)."""

    method: Literal["platt"] = "platt"
    slope: float = Field(gt=0)
    intercept: float


class Isotonic(_Record):
    """Straight lines between knots, ascending in both (Zadrozny and Elkan 2002)."""

    method: Literal["isotonic"] = "isotonic"
    log_odds: tuple[float, ...] = Field(min_length=1)
    probabilities: tuple[_Inside, ...] = Field(min_length=1)


class Unchanged(_Record):
    """The network's own probability, where nothing shows that another is better."""

    method: Literal["unchanged"] = "unchanged"


class Uncertain(_Record):
    """Where neither decision is to be trusted: split conformal prediction for each class apart.

    Vovk 2012, "Conditional validity of inductive conformal predictors". Of images with the
    finding at most the share `error` lies below `lowest_positive`, of those without at most that
    share above `highest_negative`.
    """

    error: _Inside
    lowest_positive: _Probability
    highest_negative: _Probability


class SiteFinding(_Record):
    """What was fitted for one finding, and on how much."""

    images: int
    patients: int
    positives: int
    negatives: int
    prevalence_of_images: _Inside
    prevalence: _Inside = Field(description="That the calibrated probability holds for.")
    operating_point: OperatingPoint
    calibration: Annotated[Platt | Isotonic | Unchanged, Field(discriminator="method")]
    uncertain: Uncertain

    def calibrated(self, probability: float) -> float:
        """The probability that an image shows the finding, at the stated prevalence.

        From the images' prevalence to the stated one by Bayes' rule (Saerens, Latinne and
        Decaestecker 2002, Neural Computation 14, 21-41).
        """
        shift = _log_odds(self.prevalence) - _log_odds(self.prevalence_of_images)
        return _sigmoid(_log_odds(self.at_prevalence_of_images(probability)) + shift)

    def at_prevalence_of_images(self, probability: float) -> float:
        """The same where the finding is as common as among the images that it was fitted on."""
        at, fitted = log_odds(probability), self.calibration
        if isinstance(fitted, Unchanged):
            return _sigmoid(at)
        if isinstance(fitted, Platt):
            return _sigmoid(fitted.slope * at + fitted.intercept)
        place = bisect_right(fitted.log_odds, at)
        if place in (0, len(fitted.log_odds)):
            return fitted.probabilities[min(place, len(fitted.log_odds) - 1)]
        left, right = fitted.log_odds[place - 1 : place + 1]
        low, high = fitted.probabilities[place - 1 : place + 1]
        return low + (high - low) * (at - left) / (right - left)

    def decide(self, probability: float) -> Decision:
        """The site's decision.

        It never contradicts the operating point, and is `uncertain` where the operating point
        decides against a class that the error rate does not let go.
        """
        over = probability > self.operating_point.probability
        if over and probability > self.uncertain.highest_negative:
            return "positive"
        if not over and probability < self.uncertain.lowest_positive:
            return "negative"
        return "uncertain"


class SiteData(_Record):
    """The radiographs that it was fitted on and judged on."""

    name: str
    sha256: str = Field(description="Over names, scored pixels and labels of those fitted on.")
    judged_sha256: str
    patient_column: str | None = Field(description="None: every image counts as a patient.")


class SiteFile(_Record):
    """All of it."""

    format: Literal[1] = 1
    bundle: str
    version: str = Field(description="Of the bundle; no other is served with this file.")
    weights_sha256: str
    variant: str
    created: str
    by: str | None
    software: str
    data: SiteData
    findings: dict[str, SiteFinding] = Field(min_length=1)
    sha256: str = Field(
        default="", description="Of the rest, as JSON with sorted keys and no spaces."
    )

    def sealed(self) -> SiteFile:
        """The same with the digest of its content."""
        return self.model_copy(update={"sha256": digest(self.model_dump(mode="json"))})


class SiteDecision(BaseModel):
    """What the site's own file makes of a finding."""

    model_config = ConfigDict(frozen=True)

    decision: Decision = Field(description="By the site's operating point and error rate.")
    calibrated_probability: float = Field(
        ge=0, le=1, description="Calibrated on the site's radiographs, at its prevalence."
    )
    operating_point: float = Field(
        ge=0, le=1, description="The site's own, of `probability`; positive is what lies over it."
    )


class SiteReference(BaseModel):
    """Which site file answered."""

    model_config = ConfigDict(frozen=True)

    sha256: str = Field(description="Digest of the site file's content.")
    created: str


@dataclass(frozen=True)
class Site:
    """A site file that was verified against the served bundle.

    Attributes:
        file: What it says.
        reference: What answers say of it.
    """

    file: SiteFile
    reference: SiteReference

    def decision(self, label: str, probability: float) -> SiteDecision | None:
        """What it makes of a finding's probability; None where it was not fitted for it."""
        finding = self.file.findings.get(label)
        if finding is None:
            return None
        return SiteDecision(
            decision=finding.decide(probability),
            calibrated_probability=finding.calibrated(probability),
            operating_point=finding.operating_point.probability,
        )

    def words(self, label: str, probability: float) -> str | None:
        """The same in words, for pictures and DICOM objects."""
        found = self.decision(label, probability)
        if found is None:
            return None
        return (
            f"At this site {found.decision}: calibrated probability "
            f"{found.calibrated_probability:.3f}, positive over {found.operating_point:.4g} "
            f"uncalibrated, site file {self.reference.sha256[:12]}"
        )


def site(file: SiteFile) -> Site:
    """A site file with what answers say of it."""
    return Site(file, SiteReference(sha256=file.sha256, created=file.created))


def open_site(path: Path, manifest: Manifest) -> Site:
    """Read a site file and hold it to the bundle that it is to be served with.

    Raises:
        SiteRefused: It is not there, is no site file, was changed, or belongs to another bundle.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SiteRefused(f"{path} does not exist; `cxr calibrate` writes it") from error
    except (OSError, ValueError) as error:
        raise SiteRefused(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        layout = record.get("format") if isinstance(record, dict) else None
        raise SiteRefused(f"{path} has layout {layout}; this service reads layout {FORMAT}")
    if record.get("sha256") != digest(record):
        raise SiteRefused(f"{path} was changed after it was written: its SHA-256 differs")
    try:
        file = SiteFile.model_validate(record)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise SiteRefused(f"{path}: {where}: {fault['msg']}") from error
    if (file.version, file.weights_sha256) != (manifest.version, manifest.weights.sha256):
        raise SiteRefused(
            f"{path} was fitted to {file.bundle} {file.version}, and the bundle is "
            f"{manifest.name} {manifest.version}: fit it again with `cxr calibrate`"
        )
    return site(file)


def digest(record: dict[str, Any]) -> str:
    """SHA-256 of a site file's content, its own digest left out."""
    content = {name: value for name, value in record.items() if name != "sha256"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def log_odds(probability: float) -> float:
    """Log odds of one of the network's probabilities, finite at 0 and 1."""
    return _log_odds(min(max(probability, EDGE), 1 - EDGE))


def _log_odds(probability: float) -> float:
    return math.log(probability) - math.log1p(-probability)


def _sigmoid(value: float) -> float:
    return 0.5 + 0.5 * math.tanh(value / 2)
