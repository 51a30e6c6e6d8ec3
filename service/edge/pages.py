"""What is there to be read: metrics and the OpenAPI document."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

from bentoml._internal.configuration.containers import BentoMLContainer
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.bundle import read_manifest
from service.edge.openapi import document
from service.settings import bundle_folder, read_settings


async def metrics(_: Request) -> Response:
    """Metrics of all processes, for Prometheus.

    The framework's own counters are left out: they label by the path as it was sent, which
    anybody can make grow without end.
    """
    client = BentoMLContainer.metrics_client.get()
    text = await run_in_threadpool(client.generate_latest)
    return Response(text, media_type=client.CONTENT_TYPE_LATEST)


async def openapi(_: Request) -> Response:
    """The OpenAPI document; the framework's own knows neither our errors nor our files."""
    return JSONResponse(_document())


@cache
def _document() -> dict[str, Any]:
    manifest = read_manifest(bundle_folder(read_settings()))
    return document(version("cxr-pneumonia"), manifest.named())


pages = Starlette(routes=[Route("/metrics", metrics), Route("/docs.json", openapi)])
