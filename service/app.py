"""The two BentoML services. They only wire: what they do is in the modules that they import."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import bentoml
from starlette.requests import Request
from starlette.responses import Response

from service.answer import Prediction
from service.batching import MicroBatcher
from service.bundle import open_bundle
from service.edge.faults import FaultResponse, FaultShape
from service.edge.form import Form, read_form
from service.edge.image_form import ImageForm, Picture, TargetForm
from service.edge.relay import Relay, explainer_address
from service.errors import CxrError
from service.predictor import open_predictor, prepare
from service.settings import bundle_folder, read_settings

_EXPLAINER = "explainer"
_FRAMEWORK = {
    "traffic": {"timeout": 120},
    "logging": {"access": {"enabled": False}},
    "runner_probe": {"enabled": False},
}


def _verify() -> None:
    """Runs in the supervising process before any worker starts: a bad bundle ends it here."""
    open_bundle(bundle_folder(read_settings()))


def _behind_the_edge(service: Any) -> Any:
    """Wrap a service in the middleware that every request passes, outermost first."""
    service.add_asgi_middleware(FaultShape)
    return service


@_behind_the_edge
@bentoml.service(name=_EXPLAINER, **_FRAMEWORK)
class Explainer:
    """Heat maps, in a process of their own.

    Gradients need PyTorch, and a flood of heat maps must not touch predictions.
    """

    def __init__(self) -> None:
        from service.explainer import open_explainer

        self._settings = read_settings()
        self._explainer = open_explainer(self._settings)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="explain")

    @bentoml.on_deployment
    def verify() -> None:  # called on the class, in the supervising process
        _verify()

    @bentoml.api(route="/gradcam", input_spec=TargetForm, output_spec=Picture)
    async def gradcam(self, image: Request, target: Request) -> Response:
        """Draw where the score of a finding came from: a PNG in the radiograph's own size."""
        try:
            form = await read_form(image, "image", max_bytes=self._settings.max_bytes)
            wanted = form.texts.get("target", "Pneumonia")
            work = partial(self._explainer.explain, form.files[0], wanted)
            drawn = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except CxrError as fault:
            return FaultResponse(fault)
        return Response(drawn.png, media_type="image/png")


@_behind_the_edge
@bentoml.service(name="cxr-pneumonia", **_FRAMEWORK)
class ChestRadiographs:
    """How likely pneumonia and other findings are on a frontal chest radiograph.

    Research software, not for clinical use.
    """

    explainer = bentoml.depends(Explainer)
    _batcher: MicroBatcher

    def __init__(self) -> None:
        self._settings = read_settings()
        self._predictor = open_predictor(self._settings)
        self._decoders = ThreadPoolExecutor(2, thread_name_prefix="decode")
        self._relay = Relay(
            explainer_address(_EXPLAINER, self._settings),
            timeout=self._settings.explain_deadline_seconds,
        )

    @bentoml.on_deployment
    def verify() -> None:  # called on the class, in the supervising process
        _verify()

    @bentoml.on_startup
    async def start(self) -> None:
        self._batcher = MicroBatcher(self._predictor.runtime.run)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        await self._batcher.close(timeout=self._settings.drain_seconds)
        await self._relay.close()

    @bentoml.api(route="/predict", input_spec=ImageForm, output_spec=Prediction)
    async def predict(self, image: Request) -> Response:
        """Say how likely each finding is on one radiograph."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.deadline_seconds
        try:
            form: Form = await read_form(image, "image", max_bytes=self._settings.max_bytes)
            prepared = await loop.run_in_executor(self._decoders, prepare, form.files[0])
            row = await self._batcher.submit(prepared.input.pixels, deadline)
            answer = self._predictor.answer(prepared, row.logits)
        except CxrError as fault:
            return FaultResponse(fault)
        return Response(answer.model_dump_json(), media_type="application/json")

    @bentoml.api(route="/gradcam", input_spec=TargetForm, output_spec=Picture)
    async def gradcam(self, image: Request, target: Request) -> Response:
        """Draw where the score of a finding came from: a PNG in the radiograph's own size."""
        try:
            return await self._relay.forward(image, "/gradcam")
        except CxrError as fault:
            return FaultResponse(fault)
