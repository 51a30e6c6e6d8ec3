"""The time that a request may take at the most, and what holding it costs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest
from starlette.responses import PlainTextResponse

from service.http.middleware.time_limit import TimeLimit

SCOPE = {"type": "http", "method": "POST", "path": "/predict", "headers": []}


class Caller:
    def __init__(self) -> None:
        self.messages: list[dict] = []

    async def send(self, message) -> None:
        self.messages.append(message)


async def answered(app, seconds: float) -> tuple[int, str]:
    caller = Caller()
    await TimeLimit(app, seconds)(dict(SCOPE), None, caller.send)
    start, body = caller.messages
    return start["status"], body["body"].decode()


async def hang(scope, receive, send) -> None:
    await asyncio.Event().wait()


async def test_a_request_that_no_stage_has_ended_is_given_up():
    """504 in the one shape of errors."""
    status, body = await answered(hang, 0.02)
    assert status == 504
    assert json.loads(body)["error"]["code"] == "deadline_exceeded"


async def test_an_answered_request_leaves_nothing_behind():
    """The answer is passed on, and the event loop keeps no timer of it."""
    assert await answered(PlainTextResponse("done"), 1000) == (200, "done")
    timers = asyncio.get_running_loop()._scheduled
    assert [timer for timer in timers if not timer.cancelled()] == []


async def test_an_answer_that_has_begun_is_broken_off():
    """Two answers cannot be given: the server is told, and closes the connection."""

    async def half(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    caller = Caller()
    with pytest.raises(asyncio.TimeoutError):
        await TimeLimit(half, 0.02)(dict(SCOPE), None, caller.send)
    assert len(caller.messages) == 1


SERVED = """
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from _bentoml_impl.server.app import ServiceAppFactory
from service.app import ChestRadiographs, Explainer
from service.http.middleware.admission import AdmissionControl
from service.http.middleware.time_limit import TimeLimit
for service in (ChestRadiographs, Explainer):
    service.inject_config()
    found = [each.cls for each in ServiceAppFactory(service, is_main=True).middlewares]
    assert TimeoutMiddleware not in found, found
    assert found.index(AdmissionControl) < found.index(TimeLimit)
    print(service.name)
"""


def test_the_frameworks_own_limit_is_off(demo_bundle):
    """BentoML adds no timer to each request, and ours stands behind what turns requests away."""
    command = [sys.executable, "-c", SERVED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["cxr-pneumonia", "explainer"]
