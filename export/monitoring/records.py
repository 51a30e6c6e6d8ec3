"""What the report of `cxr watch` holds: the one schema that is written and read again."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from export.evaluation.records import Rate, Record


class Compared(Record):
    """One column, then and now."""

    column: str
    kind: Literal["number", "category", "decision"]
    stability: float = Field(description="Population stability index; over 0.25 is large.")
    statistic: float = Field(description="Kolmogorov-Smirnov's D, or chi-squared.")
    distance: float | None = Field(
        description="Wasserstein's distance in standard deviations of then; of numbers only."
    )
    p_value: float
    adjusted: float = Field(description="By Holm over all columns.")
    drifts: bool = Field(description="Whether the adjusted p-value is at the threshold or under.")
    then: str = Field(description="In words.")
    now: str


class Estimate(Record):
    """What calibrated probabilities say of decisions without any label."""

    images: int
    uncertain: float
    sensitivity: float | None
    specificity: float | None
    ppv: float | None


class FindingRates(Record):
    """How often a finding is called, then and now."""

    finding: str
    positive_then: Rate
    positive_now: Rate
    uncertain_then: Rate | None = Field(description="Null without a site file.")
    uncertain_now: Rate | None
    estimate_then: Estimate | None = Field(description="Null without a site file.")
    estimate_now: Estimate | None


class Side(Record):
    """One side of the comparison."""

    name: str
    rows: int
    versions: tuple[str, ...]


class Report(Record):
    """All of it."""

    format: Literal[1] = 1
    created: str
    software: str
    then: Side
    now: Side
    false_alarm_rate: float = Field(description="Asked for, a window.")
    threshold: float = Field(description="Of adjusted p-values, from the simulation.")
    simulated_windows: int
    columns: tuple[Compared, ...] = Field(description="Least p-value first.")
    findings: tuple[FindingRates, ...]
    warnings: tuple[str, ...]

    @property
    def drifts(self) -> bool:
        return any(column.drifts for column in self.columns)
