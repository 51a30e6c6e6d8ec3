"""GET routes: the page, metrics, the OpenAPI document and `/about.json`."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from service import __version__
from service.http.about import about
from service.http.openapi import document
from service.http.page_files import ROUTES
from service.network.bundle import read_manifest
from service.settings import bundle_folder, read_settings


async def metrics(_: Request) -> Response:
    """Metrics of all processes, for Prometheus.

    The framework's own counters are left out: they label by the path as it was sent, which
    anybody can make grow without end.
    """
    text = await run_in_threadpool(_latest)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _latest() -> bytes:
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # set by the framework for its workers
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return generate_latest(registry)


async def openapi(_: Request) -> Response:
    """The OpenAPI document; the framework's own knows neither our errors nor our files."""
    return JSONResponse(_document())


async def docs(_: Request) -> Response:
    """Lead to the OpenAPI document from where it is looked for first."""
    return RedirectResponse("docs.json")


@cache
def _document() -> dict[str, Any]:
    manifest = read_manifest(bundle_folder(read_settings()))
    return document(__version__, manifest.named())


async def about_json(_: Request) -> Response:
    """`/about.json`."""
    told = await run_in_threadpool(about, read_settings())
    return Response(told.model_dump_json(), media_type="application/json")


_DOCUMENTS = (
    Route("/metrics", metrics),
    Route("/docs", docs),
    Route("/docs.json", openapi),
)

documents = Starlette(routes=_DOCUMENTS)
documents_and_page = Starlette(routes=(*_DOCUMENTS, Route("/about.json", about_json), *ROUTES))
