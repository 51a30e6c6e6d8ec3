"""Turning work away in front of everything that would look at its body."""

import asyncio
import json

import httpx
import pytest

from service.errors import Overloaded
from service.http.middleware.admission import Admission, AdmissionControl


class Behind:
    """What the middleware wraps: notes who came through, answers 204."""

    def __init__(self):
        self.came = []

    async def __call__(self, scope, receive, send):
        self.came.append((scope["method"], scope["path"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def behind():
    return Behind()


@pytest.fixture
def admission():
    return Admission()


def full():
    raise Overloaded("Full.", retry_after=3)


def ask(behind, admission, method, path):
    app = AdmissionControl(behind, admission, frozenset({"/predict"}))

    async def asked():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            return await client.request(method, path)

    return asyncio.run(asked())


def test_there_is_room_until_somebody_says_otherwise(behind, admission):
    """A service that has not started its lane yet is asked itself."""
    assert ask(behind, admission, "POST", "/predict").status_code == 204


def test_without_room_work_is_turned_away_and_told_when_to_come_back(behind, admission):
    """429 in the one shape of errors, with Retry-After, and nothing behind saw the request."""
    admission.check_capacity = full
    answer = ask(behind, admission, "POST", "/predict")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "3"
    assert answer.json()["error"]["code"] == "overloaded"
    assert behind.came == []


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/predict"), ("POST", "/livez"), ("GET", "/readyz")]
)
def test_what_is_no_work_passes_a_full_service(behind, admission, method, path):
    """Probes, pages and wrong methods are answered by whoever answers them, however full it is."""
    admission.check_capacity = full
    assert ask(behind, admission, method, path).status_code == 204
    assert behind.came == [(method, path)]


def test_a_body_is_not_read_to_turn_it_away(behind, admission):
    """The answer is there before the caller has sent a byte of its image."""
    admission.check_capacity = full
    sent = []

    async def never():
        raise AssertionError("the body was read")

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
    app = AdmissionControl(behind, admission, frozenset({"/predict"}))
    asyncio.run(app(scope, never, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert json.loads(sent[1]["body"])["error"]["detail"] == {"retry_after": 3}
