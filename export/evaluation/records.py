"""What report.json holds, field by field: the one schema that is written and read again.

Every number has full precision; what is undefined is null and a note says why. Nothing depends
on the machine: files are named relative to the dataset, and two runs over the same files with
the same bundle and variant differ in `created` alone.

Report
├── model, variants     which bundle, weights, runtime and precision answered
├── data                what was evaluated, and a digest of it
├── training            whether the data may have been in the weights' training sets
├── options             what the command was asked for
├── findings            one Finding a pathology, the target first
│   ├── auc, average_precision, curves
│   ├── points          the operating point, Youden's and the fixed ones, with their counts
│   ├── calibration
│   ├── site            the same by a site's own file, where one was given
│   ├── subgroups
│   └── mistakes        the most confident ones
├── comparisons         other runtimes, precisions or bundles on the same images
└── refused             files that were not scored, and why; never counted
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(Record):
    """An estimate and its 95 % confidence interval; null where it is undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Rate(Interval):
    """A share, with Wilson's interval."""

    count: int = Field(description="Numerator.")
    of: int = Field(description="Denominator; where it is 0 the share is null.")


class Area(Interval):
    """Area under the ROC curve, with DeLong's interval, cut to [0, 1]."""

    standard_error: float | None = None
    note: str | None = Field(default=None, description="Why something is null.")


class PredictiveValues(Record):
    """What a result means where the finding is as common as declared (Bayes)."""

    prevalence: float
    ppv: Interval
    npv: Interval


class Point(Record):
    """What a cut at one probability decides."""

    name: Literal["operating point", "site", "Youden", "fixed sensitivity", "fixed specificity"]
    probability: float = Field(description="Positive is what lies over it.")
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    sensitivity: Rate
    specificity: Rate
    ppv: Rate = Field(description="At the prevalence of these images.")
    npv: Rate = Field(description="At the prevalence of these images.")
    at_prevalence: PredictiveValues | None = None


class ReliabilityBin(Record):
    """Images whose probability lies in (low, high], the first bin from 0 on."""

    low: float
    high: float
    count: int
    mean_probability: float
    observed: Rate = Field(description="Share that shows the finding.")


class Calibration(Record):
    """Whether a probability is one: of images scored p, does the share p show the finding?"""

    brier: float = Field(description="Mean squared error of the probability; 0 is best.")
    brier_of_prevalence: float = Field(description="The same for always saying the prevalence.")
    expected_error: float = Field(description="ECE over the bins, weighted by their counts.")
    slope: float | None = Field(description="Of truth on logit; 1 is best, under 1 overconfident.")
    intercept: float | None = Field(
        description="In the large, slope held at 1; 0 is best, under 0 says too much."
    )
    note: str | None = None
    bins: tuple[ReliabilityBin, ...] = Field(description="Bins without an image are left out.")


class SiteJudgement(Record):
    """What a site's own file makes of the same images."""

    point: Point = Field(description="Its operating point.")
    calibration: Calibration = Field(
        description="Of its calibrated probability, at the prevalence that it was fitted at."
    )
    error: float = Field(description="The share of each class that may be decided wrongly.")
    missed: Rate = Field(description="Images with the finding that are decided negative.")
    false_alarms: Rate = Field(description="Images without it that are decided positive.")
    uncertain: Rate = Field(description="Images that are not decided.")


class Curves(Record):
    """Points to draw, thinned; the exact curves follow from predictions.csv."""

    roc: tuple[tuple[float, float], ...] = Field(description="1 - specificity, sensitivity.")
    precision_recall: tuple[tuple[float, float], ...] = Field(description="Recall, precision.")
    positive_probabilities: tuple[int, ...] = Field(
        description="Images with the finding in 20 bins of equal width over [0, 1]."
    )
    negative_probabilities: tuple[int, ...]


class Subgroup(Record):
    """The images that share a value of a column."""

    column: str
    value: str
    images: int
    positives: int
    auc: Area
    sensitivity: Rate | None = Field(description="At the operating point; null without one.")
    specificity: Rate | None


class Mistake(Record):
    """A decision that is wrong by a wide margin."""

    file: str
    kind: Literal["false positive", "false negative"]
    probability: float
    score: float = Field(description="0.5 is the operating point.")
    place: str | None = Field(description="Where the heat map peaks; null where it is empty.")


class Finding(Record):
    """How good the answers are for one pathology."""

    label: str
    images: int = Field(description="Scored images whose label is known.")
    positives: int
    operating_point: float | None = Field(description="Probability; null where none is published.")
    auc: Area
    average_precision: float | None
    points: tuple[Point, ...]
    calibration: Calibration | None
    site: SiteJudgement | None = Field(
        default=None, description="Null without a site file, or where it was not fitted for it."
    )
    curves: Curves | None
    subgroups: tuple[Subgroup, ...]
    mistakes: tuple[Mistake, ...]
    mistakes_in_all: int | None
    notes: tuple[str, ...]

    def point(self, name: str) -> Point | None:
        """The point of that name, None where it is undefined."""
        return next((point for point in self.points if point.name == name), None)


class Flip(Record):
    """An image on which two variants decide differently."""

    file: str
    positive: bool = Field(description="Whether the image shows the finding.")
    probability: float
    other_probability: float


class Comparison(Record):
    """Another runtime, precision or bundle over the same images, paired."""

    label: str
    images: int
    auc: Area = Field(description="The other's.")
    difference: Interval = Field(description="The other's AUC less the evaluated one's.")
    p_value: float | None = Field(description="Two-sided, paired DeLong.")
    max_probability_difference: float
    mean_probability_difference: float = Field(description="Mean of the absolute differences.")
    flips: tuple[Flip, ...]
    note: str | None = None


class Model(Record):
    """What scored the images."""

    bundle: str
    version: str
    weights: str
    weights_sha256: str
    runtime: str
    precision: str
    demo: bool

    @property
    def variant(self) -> str:
        return f"{self.runtime} {self.precision}"


class Compared(Record):
    """One variant that was put beside the evaluated one."""

    name: str
    model: Model
    findings: tuple[Comparison, ...]


class Refused(Record):
    """A file that was not scored."""

    file: str
    code: str
    message: str


class Data(Record):
    """What was evaluated."""

    name: str = Field(description="Name of the folder or file, without its path.")
    kind: Literal["folders", "table"]
    files: int
    scored: int
    sha256: str = Field(
        description="Over file name, scored pixels and labels of every scored image, in order."
    )
    left_out: tuple[str, ...] = Field(description="Columns that were not used, and why.")


class Training(Record):
    """Whether the images may be ones that the weights were trained on."""

    declared: str | None = Field(description="The collection that the images were said to be from.")
    verdict: Literal["same collection", "shared images", "not named", "unknown"]
    words: str
    collections: tuple[str, ...] = Field(description="What the weights were trained on, as known.")


class Options(Record):
    """What the command was asked for."""

    target: str
    prevalence: float | None
    sensitivity: float
    specificity: float
    limit: int | None


class Site(Record):
    """The site file that answered beside the weights' own operating points."""

    sha256: str
    created: str


class Report(Record):
    """All of it."""

    format: Literal[1] = Field(default=1, description="Version of this layout.")
    created: str = Field(description="ISO 8601, UTC; all that differs between two equal runs.")
    software: str
    model: Model
    site: Site | None = None
    data: Data
    training: Training
    options: Options
    findings: tuple[Finding, ...]
    comparisons: tuple[Compared, ...]
    refused: tuple[Refused, ...]
    warnings: tuple[str, ...]

    @property
    def target(self) -> Finding:
        return self.findings[0]
