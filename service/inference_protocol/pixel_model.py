"""The model `cxr-tensor`: the network itself, pixels in, logits and class activation maps out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from service.errors import MalformedRequest
from service.http.uploads import ByteBudget
from service.inference_protocol.model import ModelFacts
from service.inference_protocol.request import InferRequest
from service.inference_protocol.statistics import Statistics
from service.inference_protocol.tensors import TensorSpec, float_array
from service.network.predictor import Predictor
from service.radiograph.preprocess import INPUT_SIDE
from service.serving.batching import ImageOutputs
from service.serving.prediction_lane import PredictionLane
from service.settings import Settings

NAME = "cxr-tensor"


def _facts(predictor: Predictor, settings: Settings) -> ModelFacts:
    return ModelFacts(
        name=NAME,
        version=predictor.manifest.version,
        platform=f"{predictor.model.runtime}_{predictor.model.precision}",
        labels=predictor.manifest.labels,
        input=TensorSpec("pixels", "FP32", (1, INPUT_SIDE, INPUT_SIDE)),
        outputs=tuple(
            TensorSpec(name, "FP32", tuple(cast("list[int]", shape)[1:]))
            for name, shape in predictor.manifest.outputs.items()
        ),
        max_images=settings.max_images,
    )


class PixelModel:
    """Scores pixels that the caller has prepared.

    Args:
        lane: Where the pixels of `/predict` go too.
        predictor: What runs the network.
        settings: Limits.
    """

    def __init__(self, lane: PredictionLane, predictor: Predictor, settings: Settings) -> None:
        self.facts = _facts(predictor, settings)
        self.statistics = Statistics()
        self._lane = lane
        self._settings = settings

    def accept(self, request: InferRequest, intake: ByteBudget) -> PixelWork:
        """Check the pixels of a request; as `Model.accept`."""
        tensor, count = self.facts.the_input(request)
        sent = float_array(tensor, (count, *self.facts.input.shape))
        if not (sent.min() >= 0 and sent.max() <= 1):  # NaN is neither
            raise MalformedRequest(
                f"The values of {tensor.name!r} are numbers from 0 to 1.", code="out_of_range"
            )
        intake.take(sent.nbytes)
        return PixelWork(sent.copy(), self, intake)

    async def score(self, pixels: np.ndarray, deadline: float | None) -> Sequence[ImageOutputs]:
        """Score float32 (N, 1, 224, 224); every image is an entry in the queue of its own."""
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(2 * self._settings.max_batch)

        async def score_one(image: np.ndarray) -> ImageOutputs:
            async with room:
                by = loop.time() + self._settings.deadline_seconds
                return await self._lane.run_network(image, min(by, deadline or by))

        tasks = [asyncio.ensure_future(score_one(image)) for image in pixels]
        try:
            rows = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        for row in rows:
            self.statistics.scored(0.0, row.waited, row.ran, row.batch_size)
        return rows


class PixelWork:
    """The pixels of one request; as `Work`.

    Args:
        pixels: float32 (N, 1, 224, 224) in [0, 1].
        model: What scores them.
        intake: Where their bytes are counted in already.
    """

    def __init__(self, pixels: np.ndarray, model: PixelModel, intake: ByteBudget) -> None:
        self._pixels = pixels
        self._model = model
        self._intake = intake
        self._held = pixels.nbytes

    @property
    def images(self) -> int:
        return len(self._pixels)

    async def run(self, deadline: float | None) -> Mapping[str, Sequence[Any]]:
        """Score the pixels; an image on which the network fails is an error of the request."""
        rows = await self._model.score(self._pixels, deadline)
        names = [spec.name for spec in self._model.facts.outputs]
        return {name: [getattr(row, name) for row in rows] for name in names}

    def close(self) -> None:
        """Give the bytes back."""
        held, self._held = self._held, 0
        self._intake.give_back(held)
