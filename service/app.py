"""The two BentoML services. They only wire: what they do is in the modules that they import."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import bentoml
from starlette.requests import Request
from starlette.responses import Response

from service.errors import CxrError
from service.explain.answer import ExplanationAnswer
from service.explain.cam.class_map import CAM
from service.explain.cam.request import map_request
from service.explain.fields import (
    SERVED_PREDICTION_HEADER,
    as_texts,
    read_fields,
    read_served_prediction,
)
from service.http.batch_answer import BatchAnswer, answer_each
from service.http.direct_routes import DirectRoutes, RouteTable
from service.http.disconnect import cancel_on_disconnect
from service.http.explainer_client import ExplainerClient, explainer_address
from service.http.framework import NoTimeout, api_methods, tracing_options
from service.http.held_response import HeldResponse
from service.http.input_specs import ExplainForm, ImageForm, ImagesForm, PngFile
from service.http.middleware.access_log import AccessLog, RequestLog, record
from service.http.middleware.admission import Admission, AdmissionControl
from service.http.middleware.api_keys import AccessRule, ApiKeyRequired, ApiKeys
from service.http.middleware.cors import CrossOrigin
from service.http.middleware.error_responses import ErrorResponse, ErrorResponses
from service.http.middleware.security_headers import SecurityHeaders
from service.http.middleware.time_limit import TimeLimit
from service.http.routes import documents, documents_and_page
from service.http.tracing import trace_stages
from service.http.uploads import ByteBudget, Upload, read_form, wants_dicom
from service.inference_protocol.rest import PATHS as PROTOCOL_PATHS
from service.inference_protocol.rest import RestProtocol, ServedModels
from service.inference_protocol.server import InferenceServer
from service.logs import log_as_supervisor, log_as_worker
from service.media_types import PNG
from service.network.answer import Prediction
from service.network.bundle import open_bundle
from service.network.predictor import open_predictor
from service.network.site import open_site
from service.serving.allocator import return_large_arrays, share_one_heap
from service.serving.explanation_lane import ExplanationLane
from service.serving.garbage_collection import tune_garbage_collector
from service.serving.monitoring_log import open_log
from service.serving.prediction_lane import PredictionLane
from service.serving.process_priority import lower_priority, use_batch_scheduling
from service.serving.shadow import Shadow, open_shadow, require_shadow
from service.serving.shadow_process import ShadowProcess
from service.serving.watchdog import beat, end, watch
from service.settings import Settings, bundle_folder, read_settings, unknown_variables

_log = logging.getLogger("cxr.start")

if TYPE_CHECKING:  # it imports PyTorch, which the gateway does without
    from service.explain.replies import Reply
    from service.inference_protocol.grpc_server import GrpcServer  # gRPC is an extra

_EXPLAINER = "explainer"
_SERVICE = "cxr-pneumonia"
_FRAMEWORK: dict[str, Any] = {
    "traffic": {"timeout": NoTimeout(read_settings().longest_seconds)},  # see TimeLimit below
    "logging": {"access": {"enabled": False}},
    "metrics": {"enabled": False},
    "runner_probe": {"enabled": False},
    "tracing": tracing_options(),
}
_PREDICTED = frozenset({"/predict", "/predict_batch", "/preview", "/explain"})
_EXPLAINED = frozenset({"/gradcam", "/explain"})
_PATHS = _PREDICTED | _EXPLAINED | PROTOCOL_PATHS | {"/", "/docs", "/docs.json", "/about.json"}
_EXPLANATION_ADMISSION, _PREDICTION_ADMISSION = Admission(), Admission()
_EXPLAINER_ROUTES, _PREDICTION_ROUTES = RouteTable(), RouteTable()
_MODELS = ServedModels()


def _with_middleware(
    service: Any, admission: Admission, routes: RouteTable, work: frozenset[str]
) -> Any:
    """Put a service behind the middleware that every request passes, outermost first."""
    settings = read_settings()
    keys = ApiKeys(settings.api_keys_file) if settings.api_keys_file else None
    service.add_asgi_middleware(
        AccessLog, service=service.name, paths=_PATHS, log_requests=settings.log_requests
    )
    service.add_asgi_middleware(SecurityHeaders)
    service.add_asgi_middleware(CrossOrigin)
    service.add_asgi_middleware(ErrorResponses)
    service.add_asgi_middleware(ApiKeyRequired, keys=keys, allow_anonymous=settings.allow_anonymous)
    service.add_asgi_middleware(AdmissionControl, admission=admission, paths=work)
    service.add_asgi_middleware(TimeLimit, seconds=settings.longest_seconds)
    service.add_asgi_middleware(DirectRoutes, routes=routes)
    if service.name != _EXPLAINER:
        service.add_asgi_middleware(RestProtocol, models=_MODELS)
    shown = documents if service.name == _EXPLAINER else documents_and_page
    service.mount_asgi_app(shown, path="/", name="pages")
    return service


def _supervise() -> None:
    """Runs in the supervising process before any worker.

    A bundle, a site file or a shadow that cannot be used ends the start here.
    """
    settings = read_settings()
    log_as_supervisor()
    _warn_of_unknown_variables()
    bundle = open_bundle(bundle_folder(settings))
    if settings.site:
        open_site(settings.site, bundle.manifest)
    require_shadow(settings, bundle.manifest)
    watch(settings.stall_seconds)


@cache
def _warn_of_unknown_variables() -> None:
    """Log variables that are misspelt settings, once for all services of this process."""
    for sentence in unknown_variables(os.environ):
        _log.warning(sentence)


@partial(
    _with_middleware, admission=_EXPLANATION_ADMISSION, routes=_EXPLAINER_ROUTES, work=_EXPLAINED
)
@bentoml.service(name=_EXPLAINER, **_FRAMEWORK)
class Explainer:
    """Heat maps, in a process of their own.

    Gradients need PyTorch, and a flood of heat maps must not touch predictions.
    """

    def __init__(self) -> None:
        from service.explain.explainer import open_explainer

        log_as_worker()
        share_one_heap()
        self._settings = read_settings()
        lower_priority(self._settings.explain_nice)
        self._intake = ByteBudget(self._settings.max_held_bytes)
        self._explainer = open_explainer(self._settings)
        self._lane = ExplanationLane(self._settings)
        _EXPLANATION_ADMISSION.check_capacity = self._lane.check_capacity
        _EXPLAINER_ROUTES.methods = api_methods(Explainer, self)

    @bentoml.on_deployment
    def supervise() -> None:  # called on the class, in the supervising process
        _supervise()

    @bentoml.on_startup
    async def start(self) -> None:
        tune_garbage_collector()
        self._beating = asyncio.ensure_future(beat(lambda: not self._lane.stalled))

    @bentoml.on_shutdown
    async def stop(self) -> None:
        await end(self._beating)

    def __is_alive__(self) -> bool:
        return not self._lane.stalled

    @bentoml.api(route="/gradcam", input_spec=ExplainForm, output_spec=PngFile)
    async def gradcam(self, image: Request, **_: Any) -> Response:
        """Draw where the score of a finding came from."""
        from service.explain.replies import heat_map_reply

        return await self._work(image, heat_map_reply)

    @bentoml.api(route="/explain", input_spec=ExplainForm, output_spec=ExplanationAnswer)
    async def explain(self, image: Request, **_: Any) -> Response:
        """Say where the score of a finding came from."""
        from service.explain.replies import explanation_reply

        return await self._work(image, explanation_reply)

    async def _work(self, request: Request, work: Callable[..., Reply]) -> Response:
        try:
            async with read_form(request, "image", self._settings, self._intake) as form:
                fields = read_fields(form.texts)
                served = read_served_prediction(request.headers.get(SERVED_PREDICTION_HEADER))
                dicom = wants_dicom(request)

                def explain(image: Upload = form.files[0]) -> Reply:
                    with image.in_use() as data:
                        return work(self._explainer, data, fields, served, dicom)

                reply = await cancel_on_disconnect(request, self._lane.run(explain))
            return HeldResponse(
                reply.content,
                media_type=reply.media_type,
                intake=self._intake,
                seconds=self._settings.answer_seconds,
            )
        except CxrError as fault:
            return ErrorResponse(fault)


@partial(
    _with_middleware, admission=_PREDICTION_ADMISSION, routes=_PREDICTION_ROUTES, work=_PREDICTED
)
@bentoml.service(name=_SERVICE, **_FRAMEWORK)
class ChestRadiographs:
    """How likely pneumonia and other findings are on a frontal chest radiograph.

    Research software, not for clinical use.
    """

    # With an address the framework starts no explainer of its own beside this service.
    explainer = bentoml.depends(Explainer, url=read_settings().explainer_url)

    def __init__(self) -> None:
        log_as_worker()
        return_large_arrays()
        self._settings: Settings = read_settings()
        self._intake = ByteBudget(self._settings.max_held_bytes)
        predictor = open_predictor(self._settings, staged=True)
        self._labels = predictor.manifest.labels
        compared = open_shadow(self._settings, predictor.manifest)
        self._monitoring = open_log(
            self._settings.monitoring_log, self._labels, compared.labels if compared else None
        )
        self._shadow: Shadow | None = None
        if compared and self._monitoring:
            share = self._settings.shadow_share
            self._shadow = Shadow(ShadowProcess(), compared, share, self._monitoring)
        self._lane = PredictionLane(predictor, self._settings, self._monitoring, self._shadow)
        _PREDICTION_ADMISSION.check_capacity = self._lane.check_capacity
        self._explainers = ExplainerClient(
            explainer_address(_EXPLAINER, self._settings),
            timeout=self._settings.explain_deadline_seconds,
            body_seconds=self._settings.body_seconds,
            max_bytes=self._settings.max_bytes,
            limit=self._settings.explain_queue + 1,
            intake=self._intake,
            answer_seconds=self._settings.answer_seconds,
        )
        _PREDICTION_ROUTES.methods = api_methods(ChestRadiographs, self)
        self._models = InferenceServer(self._lane, predictor, self._settings, self._intake)
        _MODELS.server = self._models
        self._grpc: GrpcServer | None = None

    @bentoml.on_deployment
    def supervise() -> None:  # called on the class, in the supervising process
        _supervise()

    @bentoml.on_startup
    async def start(self) -> None:
        use_batch_scheduling()
        await self._lane.start()
        if self._shadow:
            self._shadow.start(lambda: self._lane.in_work > 0)
        if self._settings.grpc_port is not None:
            await self._serve_grpc(self._settings.grpc_port)
        tune_garbage_collector()
        self._beating = asyncio.ensure_future(beat(lambda: not self._lane.stalled))

    @bentoml.on_shutdown
    async def stop(self) -> None:
        await end(self._beating)
        await self._explainers.close()
        drain = self._settings.drain_seconds
        calls = self._grpc.stop(drain) if self._grpc else asyncio.sleep(0)
        _, ended = await asyncio.gather(calls, self._lane.close())
        if self._shadow:
            await asyncio.to_thread(self._shadow.close)
        if self._monitoring:
            await asyncio.to_thread(self._monitoring.close)
        if not ended:
            os._exit(1)  # a runtime that hangs would keep the interpreter from ending

    async def _serve_grpc(self, port: int) -> None:
        from service.inference_protocol.grpc_server import GrpcServer

        settings = self._settings
        keys = ApiKeys(settings.api_keys_file) if settings.api_keys_file else None
        self._grpc = GrpcServer(
            self._models,
            AccessRule(keys, settings.allow_anonymous),
            RequestLog(_SERVICE, settings.log_requests),
        )
        await self._grpc.start(settings.grpc_host, port)

    def __is_alive__(self) -> bool:
        return not self._lane.stalled

    def __is_ready__(self) -> bool:
        return self._lane.ready

    @bentoml.api(route="/predict", input_spec=ImageForm, output_spec=Prediction)
    async def predict(self, image: Request) -> Response:
        """Say how likely each finding is on one radiograph."""
        try:
            async with read_form(image, "image", self._settings, self._intake, plain=True) as form:
                deadline = asyncio.get_running_loop().time() + self._settings.deadline_seconds
                scored = await cancel_on_disconnect(
                    image, self._lane.predict(form.files[0], deadline)
                )
        except CxrError as fault:
            return ErrorResponse(fault)
        trace_stages(scored.timings)
        record(image.scope).update(
            scored.timings.as_milliseconds(),
            sha256_pixels=scored.prediction.image.sha256_pixels,
        )
        return Response(
            scored.prediction.model_dump_json(),
            media_type="application/json",
            headers={"Server-Timing": scored.timings.as_server_timing()},
        )

    @bentoml.api(route="/predict_batch", input_spec=ImagesForm, output_spec=BatchAnswer)
    async def predict_batch(self, images: Request) -> Response:
        """Score several radiographs: one answer an image, in order, a prediction or an error."""
        try:
            async with read_form(
                images,
                "images",
                self._settings,
                self._intake,
                max_files=self._settings.max_images,
            ) as form:
                answer = await cancel_on_disconnect(
                    images, answer_each(self._lane, form.files, self._settings)
                )
        except CxrError as fault:
            return ErrorResponse(fault)
        record(images.scope).update(images=len(answer.answers), failed=answer.failed)
        return Response(answer.model_dump_json(), media_type="application/json")

    @bentoml.api(route="/preview", input_spec=ImageForm, output_spec=PngFile)
    async def preview(self, image: Request) -> Response:
        """Show one radiograph as the service sees it, whatever its format."""
        try:
            async with read_form(image, "image", self._settings, self._intake, plain=True) as form:
                deadline = asyncio.get_running_loop().time() + self._settings.deadline_seconds
                shown = await cancel_on_disconnect(
                    image, self._lane.preview(form.files[0], deadline)
                )
            return HeldResponse(
                shown,
                media_type=PNG,
                intake=self._intake,
                seconds=self._settings.answer_seconds,
            )
        except CxrError as fault:
            return ErrorResponse(fault)

    @bentoml.api(route="/gradcam", input_spec=ExplainForm, output_spec=PngFile)
    async def gradcam(self, image: Request, **_: Any) -> Response:
        """Draw where the score of a finding came from, over the radiograph in its own size."""
        if wants_dicom(image):  # which names what served the score: that is asked first
            return await self._explained(image, "/gradcam")
        try:
            return await self._explainers.forward(image, "/gradcam")
        except CxrError as fault:
            return ErrorResponse(fault)

    @bentoml.api(route="/explain", input_spec=ExplainForm, output_spec=ExplanationAnswer)
    async def explain(self, image: Request, **_: Any) -> Response:
        """Say where the score of a finding came from, beside the prediction that is served."""
        return await self._explained(image, "/explain")

    async def _explained(self, image: Request, path: str) -> Response:
        try:
            async with read_form(image, "image", self._settings, self._intake) as form:
                fields = read_fields(form.texts)
                request = map_request(self._labels, fields.target, fields.method, fields.layer)
                deadline = asyncio.get_running_loop().time() + self._settings.deadline_seconds
                scored = await cancel_on_disconnect(
                    image, self._lane.predict(form.files[0], deadline)
                )
                needs_explainer = fields.faithfulness or fields.objects or wants_dicom(image)
                if request.method == CAM and not needs_explainer:
                    answer = self._lane.explanation(scored, request)
                    return Response(answer.model_dump_json(), media_type="application/json")
                served = self._lane.served(scored, request)
                with form.files[0].in_use() as data:
                    return await self._explainers.ask(image, path, data, as_texts(fields), served)
        except CxrError as fault:
            return ErrorResponse(fault)
