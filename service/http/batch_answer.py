"""`/predict_batch`: one answer per image, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from service.errors import CxrError
from service.http.uploads import Upload
from service.network.answer import Prediction
from service.serving.prediction_lane import PredictionLane, Scored
from service.settings import Settings

log = logging.getLogger("cxr.predict")


class ErrorAnswer(BaseModel):
    """The error of one image, as in an error answer."""

    code: str
    message: str
    detail: dict[str, object]


class ImageOutcome(BaseModel):
    """One image's prediction or error; exactly one is not null."""

    model_config = ConfigDict(frozen=True)

    prediction: Prediction | None = None
    error: ErrorAnswer | None = None


class BatchAnswer(BaseModel):
    """The answers in the order of the images."""

    model_config = ConfigDict(frozen=True)

    answers: list[ImageOutcome]
    failed: int = Field(description="How many of the answers are errors.")


async def score_each(
    lane: PredictionLane,
    files: Sequence[Upload],
    settings: Settings,
    deadline: float | None = None,
) -> list[Scored | CxrError]:
    """Score images, a few at a time, so that one large request leaves room for small ones.

    Args:
        lane: Where single images go too.
        files: The files; each is dropped once it is answered.
        settings: The deadline, which holds for each image from the moment it is handed in, and
            the batch size, two of which may be under way.
        deadline: The caller's for all of them, on the event loop's clock; None where it has none.

    Returns:
        For each image, in order, what was found or why nothing was.
    """
    room = asyncio.Semaphore(2 * settings.max_batch)
    loop = asyncio.get_running_loop()

    async def score(file: Upload) -> Scored | CxrError:
        async with room:
            by = loop.time() + settings.deadline_seconds
            try:
                return await lane.predict(file, by if deadline is None else min(by, deadline))
            except CxrError as error:
                return error
            except Exception:
                log.exception("an image of a batch failed")
                return CxrError("The service failed on this image.")
            finally:
                file.drop()

    return await asyncio.gather(*(score(file) for file in files))


async def answer_each(
    lane: PredictionLane, files: Sequence[Upload], settings: Settings
) -> BatchAnswer:
    """Score images as `score_each` does and put their answers together."""
    outcomes = [_outcome(scored) for scored in await score_each(lane, files, settings)]
    failed = sum(outcome.error is not None for outcome in outcomes)
    return BatchAnswer(answers=outcomes, failed=failed)


def _outcome(scored: Scored | CxrError) -> ImageOutcome:
    if isinstance(scored, CxrError):
        return ImageOutcome(error=ErrorAnswer.model_validate(scored.body()["error"]))
    return ImageOutcome(prediction=scored.prediction)
