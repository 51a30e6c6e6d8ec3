"""What stands behind REST and gRPC alike: the models, and asking them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from service import __version__
from service.errors import CxrError, NotFound
from service.http.uploads import ByteBudget
from service.inference_protocol.image_model import ImageModel
from service.inference_protocol.model import Model, Work, output_tensors
from service.inference_protocol.pixel_model import PixelModel
from service.inference_protocol.request import InferAnswer, InferRequest
from service.inference_protocol.tensors import TensorSpec
from service.metrics import PROTOCOL_IMAGES
from service.network.predictor import Predictor
from service.serving.prediction_lane import PredictionLane
from service.settings import Settings

SERVER = "cxr-pneumonia"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "statistics")
"""Of Triton's extensions of the protocol, those that are served."""


class InferenceServer:
    """The models and what they are asked.

    Args:
        lane: Where every image is scored.
        predictor: What the lane predicts with.
        settings: Limits.
        intake: What counts the bytes of all requests.
    """

    def __init__(
        self, lane: PredictionLane, predictor: Predictor, settings: Settings, intake: ByteBudget
    ) -> None:
        self._lane = lane
        models: tuple[Model, ...] = (
            ImageModel(lane, predictor, settings),
            PixelModel(lane, predictor, settings),
        )
        self._models = {model.facts.name: model for model in models}
        self.settings = settings
        self.intake = intake

    @property
    def live(self) -> bool:
        return not self._lane.stalled

    @property
    def ready(self) -> bool:
        return self._lane.ready

    def metadata(self) -> dict[str, Any]:
        """The protocol's server metadata."""
        return {"name": SERVER, "version": __version__, "extensions": list(EXTENSIONS)}

    def model(self, name: str, version: str = "") -> Model:
        """A model by its name and, where it is not empty, its version.

        Raises:
            NotFound: There is none.
        """
        model = self._models.get(name)
        if model is None:
            known = " and ".join(self._models)
            raise NotFound(f"There are the models {known}.", code="unknown_model")
        if version not in ("", model.facts.version):
            raise NotFound(
                f"The model {name} is served in the version {model.facts.version}.",
                code="unknown_version",
            )
        return model

    def statistics(self, name: str, version: str = "") -> list[dict[str, Any]]:
        """Triton's statistics of a model, or of every one where the name is empty.

        Raises:
            NotFound: There is no such model.
        """
        models = [self.model(name, version)] if name else list(self._models.values())
        return [
            {
                "name": model.facts.name,
                "version": model.facts.version,
                "last_inference": model.statistics.last_inference,
                "inference_count": model.statistics.inference_count,
                "execution_count": round(model.statistics.execution_count),
                "inference_stats": {
                    stage: {"count": took.count, "ns": took.ns}
                    for stage, took in model.statistics.durations().items()
                },
            }
            for model in models
        ]

    def check_capacity(self, seconds: float | None = None) -> None:
        """Turn a request away before it is read, or before its images are looked at.

        Args:
            seconds: Until the caller's own deadline; None where it has none.

        Raises:
            Overloaded: As much is in work as may be, or as can be done by then.
        """
        self._lane.check_capacity(seconds)

    def accept(self, request: InferRequest) -> AcceptedRequest:
        """Check a request and take hold of its input; the result is to be closed.

        Raises:
            ClientFault: There is no such model or output, it does not take this input, or there is
                too much work for the time that the caller gives.
        """
        model = self.model(request.model, request.version)
        self.check_capacity(request.seconds)
        wanted = model.facts.wanted(request)
        return AcceptedRequest(model, wanted, model.accept(request, self.intake), request.seconds)


@dataclass(frozen=True, eq=False)
class AcceptedRequest:
    """A request that is to be answered, without the bytes that it came as.

    Attributes:
        model: What is asked.
        wanted: The outputs of its answer.
        work: Its input.
        seconds: Within which the caller wants the answer; None where it said nothing.
    """

    model: Model
    wanted: tuple[TensorSpec, ...]
    work: Work
    seconds: float | None

    async def answer(self, protocol: str) -> InferAnswer:
        """Answer it.

        Args:
            protocol: By which it came, for metrics.

        Raises:
            CxrError: There is no answer.
        """
        facts, statistics = self.model.facts, self.model.statistics
        began = time.perf_counter()
        now = asyncio.get_running_loop().time()
        outcome = "gone"
        try:
            columns = await self.work.run(None if self.seconds is None else now + self.seconds)
            outcome = "ok"
        except CxrError as fault:
            outcome = fault.code
            raise
        finally:
            PROTOCOL_IMAGES.labels(protocol, facts.name, outcome).inc(self.work.images)
            count = statistics.answered if outcome == "ok" else statistics.failed
            count(time.perf_counter() - began)
        return InferAnswer(facts.name, facts.version, output_tensors(self.wanted, columns))
