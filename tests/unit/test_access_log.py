"""What is kept of a request: its record, its identifier, its metrics, its line of log."""

import asyncio
import logging
import re

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.errors import InferenceFailed, NotAnImage, Overloaded
from service.http.middleware.access_log import AccessLog, record
from service.http.middleware.error_responses import ErrorResponse

SERVICE = "under test"


async def fine(request):
    record(request.scope)["batch_size"] = 3
    return PlainTextResponse("fine")


async def refused(_):
    return ErrorResponse(NotAnImage("No image."))


async def unanswered(_):
    return ErrorResponse(InferenceFailed("The network failed.", sha256_pixels="ab12"))


async def turned_away(_):
    return ErrorResponse(Overloaded("Full."))


async def silent(scope, receive, send):
    """Ends without an answer, as the server's task does whose caller has gone."""


app = Starlette(
    routes=[
        Route(path, answer, methods=["GET", "POST"])
        for path, answer in (
            ("/predict", fine),
            ("/gradcam", refused),
            ("/unanswered", unanswered),
            ("/readyz", fine),
            ("/full", turned_away),
        )
    ]
)


@pytest.fixture
def lines(caplog):
    """The lines of log so far, as their fields."""
    caplog.set_level(logging.INFO, "cxr.request")

    def found():
        return [line for line in caplog.records if line.name == "cxr.request"]

    return found


async def ask(path, headers=None, *, log_requests=True, method="GET") -> httpx.Response:
    observed = AccessLog(app, SERVICE, frozenset({"/predict", "/gradcam"}), log_requests)
    transport = httpx.ASGITransport(observed)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, headers=headers)


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"service": SERVICE, **labels}) or 0.0


async def test_a_request_is_one_line_with_what_handlers_added(lines):
    """The line says what, how it ended and how long it took, and what the handler knew."""
    answer = await ask("/predict", method="POST")
    (line,) = lines()
    assert (line.service, line.path, line.method) == (SERVICE, "/predict", "POST")
    assert (line.status, line.outcome, line.batch_size) == (200, "ok", 3)
    assert line.ms >= 0
    assert line.request_id == answer.headers["x-request-id"]


async def test_a_fault_is_told_by_its_code(lines):
    """A refused request's outcome is the code of its error, in the log and in the counters."""
    before = count("cxr_rejections_total", code="not_an_image")
    assert (await ask("/gradcam")).status_code == 415
    assert lines()[0].outcome == "not_an_image"
    assert count("cxr_rejections_total", code="not_an_image") == before + 1


async def test_a_fault_of_an_image_is_logged_with_the_digest_of_its_pixels(lines):
    """A request on whose pixels the network failed has their digest, as the line of the cause."""
    await ask("/unanswered")
    assert (lines()[0].outcome, lines()[0].sha256_pixels) == ("inference_failed", "ab12")


async def test_an_unknown_path_is_one_label(lines):
    """Paths that nobody serves are counted together and never repeated in the log."""
    labels = {"path": "other", "outcome": "http_404"}
    before = count("cxr_request_seconds_count", **labels)
    for path in ("/DOE-JANE", "/wp-admin"):
        assert (await ask(path)).status_code == 404
    assert {line.path for line in lines()} == {"other"}
    assert count("cxr_request_seconds_count", **labels) == before + 2


async def test_a_request_that_nobody_answered_is_499(lines):
    """A request that ends without an answer is logged as gone."""
    scope = {"type": "http", "path": "/predict", "method": "POST", "headers": []}
    await AccessLog(silent, SERVICE, frozenset({"/predict"}), True)(scope, None, None)
    assert (lines()[0].status, lines()[0].outcome) == (499, "gone")


async def test_nothing_is_in_flight_afterwards():
    """The gauge goes back to nought, whichever way a request ends."""
    await ask("/predict")
    await ask("/gradcam")
    assert count("cxr_in_flight", path="/predict") == 0
    assert count("cxr_in_flight", path="/gradcam") == 0


@pytest.mark.parametrize("given", ["abc-123_X.7", "a" * 64])
async def test_a_plain_identifier_is_kept(given):
    """The caller's own identifier comes back, so that both logs can be joined."""
    assert (await ask("/predict", {"X-Request-ID": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["a" * 65, "a b", "<script>", "", 'x"y', "DOE^JANE"])
async def test_another_identifier_is_replaced(given, lines):
    """What is no plain identifier reaches neither the answer nor the log."""
    own = (await ask("/predict", {"X-Request-ID": given})).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", own)
    assert lines()[0].request_id == own


async def test_probes_leave_no_trace(lines):
    """Probes are answered without a line of log or an identifier."""
    answer = await ask("/readyz")
    assert "x-request-id" not in answer.headers
    assert lines() == []


async def test_logging_can_be_switched_off(lines):
    """Without CXR_LOG_REQUESTS there are metrics but no lines."""
    labels = {"path": "/predict", "outcome": "ok"}
    before = count("cxr_request_seconds_count", **labels)
    await ask("/predict", log_requests=False)
    assert lines() == []
    assert count("cxr_request_seconds_count", **labels) == before + 1


async def test_one_line_a_second_tells_of_those_who_are_turned_away(lines):
    """Of many 429 within a second one is logged; the next line has the number of the others."""
    observed = AccessLog(app, SERVICE, frozenset({"/full"}), log_requests=True)
    transport = httpx.ASGITransport(observed)
    before = count("cxr_rejections_total", code=Overloaded.code)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for _ in range(4):
            assert (await client.get("/full")).status_code == 429
        assert [line.turned_away_before for line in lines()] == [0]
        await asyncio.sleep(1.0)
        await client.get("/full")
    assert [line.turned_away_before for line in lines()] == [0, 3]
    assert count("cxr_rejections_total", code=Overloaded.code) == before + 5
