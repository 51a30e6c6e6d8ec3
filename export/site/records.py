"""What the report of a calibration holds: the one schema that is written and read again."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from export.evaluation.records import (
    Area,
    Calibration,
    Data,
    Model,
    Point,
    Record,
    Refused,
    SiteJudgement,
    Subgroup,
)
from service.network.site import Aim, SiteFinding


class Asked(Record):
    """What the command was asked for."""

    aim: Aim
    prevalence: float | None = Field(description="Null: that of the images fitted on.")
    error: float
    half_width: float
    patient_column: str | None
    by: str | None


class NetBenefit(Record):
    """One threshold of a decision curve (Vickers and Elkin 2006)."""

    threshold: float
    before: float = Field(description="By the network's probability.")
    after: float = Field(description="By the calibrated probability.")
    all_positive: float


class FittedFinding(Record):
    """One finding: what was fitted, and how it does on other patients."""

    label: str
    site: SiteFinding
    log_losses: dict[Literal["unchanged", "platt", "isotonic"], float] = Field(
        description="By cross-validation over the patients fitted on."
    )
    images: int = Field(description="Judged, as all below.")
    patients: int
    positives: int
    auc: Area
    before: Point | None = Field(description="The weights' operating point; null without one.")
    calibration: Calibration = Field(description="Of the network's probability.")
    after: SiteJudgement
    decision_curve: tuple[NetBenefit, ...]
    subgroups: tuple[Subgroup, ...]


class LeftOut(Record):
    """A finding that was not fitted."""

    label: str
    reason: str


class Report(Record):
    """All of it."""

    format: Literal[1] = 1
    created: str
    software: str
    site_sha256: str
    model: Model
    fitted: Data
    judged: Data
    asked: Asked
    findings: tuple[FittedFinding, ...]
    left_out: tuple[LeftOut, ...]
    refused: tuple[Refused, ...]
    warnings: tuple[str, ...]
