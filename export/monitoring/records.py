"""What the report of `cxr watch` holds: the one schema that is written and read again."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from export.evaluation.records import Interval, Rate, Record


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


class PairedTests(Record):
    """p-values of no difference between the shadow and the served bundle."""

    direction: float = Field(description="McNemar's exact test.")
    amount: float = Field(description="Exact binomial test of the share of other decisions.")
    scores: float = Field(description="Wilcoxon's signed-rank test.")


class PairedFinding(Record):
    """One finding on the images that both have scored; differences are shadow less served."""

    finding: str
    both_positive: int
    served_alone: int = Field(description="Positive by the served bundle alone.")
    shadow_alone: int = Field(description="Positive by the shadow alone.")
    both_negative: int
    same_decision: Rate
    kappa: Interval = Field(description="Cohen's; null where one calls every image the same.")
    positive_served: Rate
    positive_shadow: Rate
    positive_difference: Interval = Field(description="Of the shares, Agresti and Min's interval.")
    score_difference: Interval = Field(description="Mean, Student's interval.")
    score_difference_low: float = Field(description="5 % of the images differ by less.")
    score_difference_high: float = Field(description="5 % of the images differ by more.")
    score_difference_largest: float = Field(description="Without its sign.")
    p_values: PairedTests
    adjusted: PairedTests = Field(description="By Holm over all tests of all findings.")
    decisions_differ: bool = Field(description="By their direction or their amount.")
    scores_differ: bool


class ShadowReport(Record):
    """A shadow beside the served bundle."""

    format: Literal[1] = 1
    created: str
    software: str
    name: str = Field(description="Of the log.")
    served: str = Field(description="Version of the served bundle.")
    shadow: str = Field(description="Version of the shadow.")
    rows: int = Field(description="Images that both have scored.")
    of: int = Field(description="Images of the log.")
    agreement: float = Field(description="Share of the same decisions that is asked for.")
    false_alarm_rate: float = Field(description="Asked for, of all tests together.")
    findings: tuple[PairedFinding, ...]
    warnings: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return any(finding.decisions_differ for finding in self.findings)
