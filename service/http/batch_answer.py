"""`/predict_batch`: one answer per image, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from service.errors import CxrError
from service.http.uploads import Upload
from service.network.answer import Prediction
from service.serving.prediction_lane import PredictionLane
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


async def answer_each(
    lane: PredictionLane, files: Sequence[Upload], settings: Settings
) -> BatchAnswer:
    """Score images, a few at a time, so that one large request leaves room for small ones.

    Args:
        lane: Where single images go too.
        files: The files; each is dropped once it is answered.
        settings: The deadline, which holds for each image from the moment it is handed in, and
            the batch size, two of which may be under way.
    """
    room = asyncio.Semaphore(2 * settings.max_batch)
    loop = asyncio.get_running_loop()

    async def answer(file: Upload) -> ImageOutcome:
        async with room:
            try:
                scored = await lane.predict(file, loop.time() + settings.deadline_seconds)
                return ImageOutcome(prediction=scored.prediction)
            except CxrError as error:
                fault = error
            except Exception:
                log.exception("an image of a batch failed")
                fault = CxrError("The service failed on this image.")
            finally:
                file.drop()
        return ImageOutcome(error=ErrorAnswer.model_validate(fault.body()["error"]))

    outcomes = await asyncio.gather(*(answer(file) for file in files))
    failed = sum(outcome.error is not None for outcome in outcomes)
    return BatchAnswer(answers=outcomes, failed=failed)
