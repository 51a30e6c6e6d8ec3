"""The answer of `/explain` for one image and one target."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from service.explain.explanation import Explanation
from service.network.answer import (
    DEMO_WARNING,
    ImageAnswer,
    InputAnswer,
    ModelAnswer,
    input_answer,
)
from service.network.gate import Judgement
from service.network.site import SiteDecision, SiteReference

FINE_LAYERS = ("denseblock1", "denseblock2")
"""Layers whose maps find few opacities (`python -m bench.localisation`)."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class ScoreCheck(_Part):
    """The served score beside the explainer's own."""

    score: float = Field(ge=0, le=1, description="As the serving runtime predicts it.")
    probability: float = Field(ge=0, le=1, description="As the serving runtime predicts it.")
    positive: bool = Field(description="Whether the served score is over 0.5.")
    site: SiteDecision | None = Field(
        default=None, description="By the site's own file; null where it has nothing for this one."
    )
    explainer_score: float = Field(ge=0, le=1, description="By the pass that made the map.")
    difference: float = Field(ge=0, description="Between the two.")
    tolerance: float = Field(description="Over it there is no map.")
    agrees: bool


class MapAnswer(_Part):
    """The raw map over the network's square, row by row from the top left."""

    cells: int = Field(description="Rows, and columns, of the grid.")
    values: list[list[float]] = Field(description="In [0, 1], divided by the peak.")
    left: int = Field(description="First column of the source image inside, as in `crop`.")
    top: int = Field(description="First row of the source image inside, as in `crop`.")
    side: int = Field(description="Side of the square in source pixels.")


class PeakAnswer(_Part):
    """Where the map is hottest, in pixels of the source image."""

    column: int
    row: int
    words: str = Field(description="Image side and third; the patient's side where known.")


class BoxAnswer(_Part):
    """Bounding box of the peak's connected component at 0.7 of its heat."""

    left: int
    top: int
    width: int
    height: int


class UnseenAnswer(_Part):
    """Margins of the source image that were cropped away before the network, in pixels."""

    left: int
    top: int
    right: int
    bottom: int
    share: float = Field(ge=0, lt=1, description="Of the image's area.")


class FaithfulnessAnswer(_Part):
    """How far the explainer's score falls when a tenth of the input is blurred."""

    hottest_tenth: float = Field(description="Fall when the map's hottest tenth is blurred.")
    random_tenths: list[float] = Field(description="Falls for tenths of random maps.")
    random_mean: float
    better_than: float = Field(ge=0, le=1, description="Share of random tenths that matter less.")


class ExplanationAnswer(_Part):
    """The heat map of one target, or the reason why there is none."""

    target: str
    method: str
    layer: str
    score: ScoreCheck
    map: MapAnswer | None = Field(description="None where `reason` says why.")
    peak: PeakAnswer | None
    box: BoxAnswer | None
    unseen: UnseenAnswer
    faithfulness: FaithfulnessAnswer | None
    reason: str | None = Field(description="Why there is no map.")
    input: InputAnswer
    image: ImageAnswer
    model: ModelAnswer
    site: SiteReference | None = Field(
        default=None, description="The site file that answered beside; null without one."
    )
    warnings: list[str]


def explanation_answer(
    explanation: Explanation,
    image: ImageAnswer,
    model: ModelAnswer,
    judgement: Judgement,
    warnings: tuple[str, ...] = (),
) -> ExplanationAnswer:
    """Put an answer together.

    Args:
        explanation: What was found.
        image: As in a prediction's answer.
        model: What scored it; its demo flag adds the demo notice.
        judgement: How unusual the image is.
        warnings: Of the file; those of the judgement stand before them.
    """
    served, own = explanation.served, explanation.own
    request, place = explanation.request, explanation.place
    return ExplanationAnswer(
        target=request.target,
        method=request.method,
        layer=request.layer,
        score=ScoreCheck(
            score=served.score,
            probability=served.probability,
            positive=served.positive,
            site=explanation.site_decision,
            explainer_score=own.score,
            difference=explanation.difference,
            tolerance=explanation.tolerance,
            agrees=explanation.difference <= explanation.tolerance,
        ),
        map=_map(explanation),
        peak=_peak(explanation),
        box=BoxAnswer(**vars(place.box)) if place else None,
        unseen=UnseenAnswer(**vars(explanation.unseen)),
        faithfulness=_faithfulness(explanation),
        reason=explanation.reason,
        input=input_answer(judgement),
        image=image,
        model=model,
        site=explanation.site.reference if explanation.site else None,
        warnings=list(all_warnings(explanation, model, (*judgement.warnings, *warnings))),
    )


def _map(explanation: Explanation) -> MapAnswer | None:
    if explanation.values is None:
        return None
    square = explanation.geometry
    return MapAnswer(
        cells=len(explanation.values),
        values=[[round(float(v), 4) for v in row] for row in explanation.values],
        left=square.left,
        top=square.top,
        side=square.side,
    )


def _peak(explanation: Explanation) -> PeakAnswer | None:
    place = explanation.place
    if place is None:
        return None
    return PeakAnswer(column=place.column, row=place.row, words=explanation.words or "")


def _faithfulness(explanation: Explanation) -> FaithfulnessAnswer | None:
    found = explanation.faithfulness
    if found is None:
        return None
    return FaithfulnessAnswer(
        hottest_tenth=found.hottest,
        random_tenths=list(found.random),
        random_mean=found.random_mean,
        better_than=found.better_than,
    )


def all_warnings(
    explanation: Explanation, model: ModelAnswer, warnings: Iterable[str]
) -> tuple[str, ...]:
    """Every sentence that a reader of an explanation should see, the notice of a demo first.

    Args:
        explanation: What was found.
        model: What scored it.
        warnings: Of the image.
    """
    demo = (DEMO_WARNING,) if model.demo else ()
    return (*demo, *warnings, *notes(explanation))


def notes(explanation: Explanation) -> list[str]:
    """Notes that are shown with the map."""
    notes = []
    if explanation.values is not None and not explanation.served.positive:
        notes.append(
            f"{explanation.request.target} scores below its operating point; the map shows what "
            "speaks for it all the same."
        )
    if explanation.values is not None and explanation.request.layer in FINE_LAYERS:
        notes.append(
            f"{explanation.request.layer} shows fine texture; its peaks say little of where a "
            "finding is."
        )
    return notes
