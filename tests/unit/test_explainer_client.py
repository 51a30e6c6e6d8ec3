"""Handing requests on: to a service that answers, refuses, fails, is slow, or is not there."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.requests import Request

from service.errors import (
    DeadlineExceeded,
    MalformedRequest,
    Overloaded,
    TooLarge,
    TooSlow,
    Unavailable,
)
from service.http.explainer_client import ExplainerClient
from service.http.uploads import ByteBudget

LIMITS = {
    "timeout": 5.0,
    "body_seconds": 5.0,
    "max_bytes": 1000,
    "limit": 2,
    "answer_seconds": 5.0,
}
REFUSAL = b'{"error": {"code": "not_an_image", "message": "No image.", "detail": {}}}'


class Explainer:
    """A tiny real server: answers each request with the same bytes, after its whole body."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.left = asyncio.Event()

    async def __call__(self, reader, writer) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            self.heads.append(head)
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            self.bodies.append(await reader.readexactly(length))
            if self.answer is not None:
                writer.write(self.answer)
            else:
                await reader.read()
                self.left.set()
        except asyncio.IncompleteReadError:
            self.left.set()
        finally:
            writer.close()


def answer(status: str, body: bytes, kind: str = "application/json", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}"
    return f"{head}connection: close\r\n\r\n".encode() + body


@asynccontextmanager
async def relaying(tmp_path, reply: bytes | None, **limits):
    """A relay to a tiny server on a local socket, as BentoML makes it."""
    explainer = Explainer(reply)
    path = str(tmp_path / "explainer.sock")
    server = await asyncio.start_unix_server(explainer, path)
    relay = ExplainerClient(f"unix://{path}", **{"intake": ByteBudget(1 << 20), **LIMITS, **limits})
    try:
        yield relay, explainer
    finally:
        await relay.close()
        server.close()
        await server.wait_closed()


def request(
    *chunks: bytes, then=None, length: int | None = None, headers=(), chunked=False
) -> Request:
    """A request whose body comes in these chunks; `then` is awaited after them."""
    left = list(chunks) or [b""]
    size = sum(map(len, chunks)) if length is None else length

    async def receive():
        if left:
            body = left.pop(0)
            return {
                "type": "http.request",
                "body": body,
                "more_body": bool(left) or length is not None,
            }
        if then is not None:
            await then.wait()
        else:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/gradcam",
        "query_string": b"",
        "headers": [
            (b"transfer-encoding", b"chunked")
            if chunked
            else (b"content-length", str(size).encode()),
            *headers,
        ],
        "cxr.record": {"request_id": "id-1"},
    }
    return Request(scope, receive)


async def test_a_request_is_passed_on_as_it_is(tmp_path):
    """Body, kind and key arrive; what a browser sends of its user does not."""
    headers = [
        (b"content-type", b"multipart/form-data; boundary=b"),
        (b"x-api-key", b"key"),
        (b"cookie", b"secret"),
        (b"x-forwarded-for", b"10.1.2.3"),
    ]
    async with relaying(tmp_path, answer("200 OK", b"picture", "image/png")) as (relay, explainer):
        got = await relay.forward(request(b"one", b"two", headers=headers), "/gradcam")
    assert (got.status_code, got.body, got.media_type) == (200, b"picture", None)
    assert got.headers["content-type"] == "image/png"
    assert explainer.bodies == [b"onetwo"]
    (head,) = explainer.heads
    assert head.startswith("post /gradcam http/1.1\r\n")
    assert "content-type: multipart/form-data; boundary=b\r\n" in head
    assert "x-api-key: key\r\n" in head
    assert "x-request-id: id-1\r\n" in head
    assert "cookie" not in head
    assert "x-forwarded-for" not in head


async def test_a_refusal_is_passed_back_with_its_code(tmp_path):
    """An error of the explainer comes back as it is, and its code goes into the record."""
    reply = answer("415 Unsupported", REFUSAL, more="retry-after: 5\r\nset-cookie: a=b\r\n")
    async with relaying(tmp_path, reply) as (relay, _):
        asked = request(b"x")
        got = await relay.forward(asked, "/gradcam")
    assert (got.status_code, got.body) == (415, REFUSAL)
    assert got.headers["retry-after"] == "5"
    assert "set-cookie" not in got.headers
    assert asked.scope["cxr.record"]["outcome"] == "not_an_image"


FAILING = {
    "an error page of something in between": answer("502 Bad Gateway", b"<html>", "text/html"),
    "an error of another shape": answer("500 Internal Server Error", b'["no"]'),
    "half an answer": answer("200 OK", b"picture")[:-3],
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("reply", FAILING.values(), ids=list(FAILING))
async def test_a_failing_explainer_is_unavailable(tmp_path, reply):
    """Whatever is no answer of ours is 503, never a 500 and never passed on."""
    async with relaying(tmp_path, reply) as (relay, _):
        with pytest.raises(Unavailable) as refused:
            await relay.forward(request(b"x"), "/gradcam")
    assert refused.value.code == "explainer_unavailable"


@pytest.mark.parametrize("address", [None, "unix:///nowhere/explainer.sock"], ids=["none", "dead"])
async def test_no_explainer_is_unavailable(address):
    """Without an explainer, or with a dead one, heat maps are 503."""
    relay = ExplainerClient(address, intake=ByteBudget(1 << 20), **LIMITS)
    with pytest.raises(Unavailable) as refused:
        await relay.forward(request(b"x"), "/gradcam")
    assert refused.value.code == "explainer_unavailable"
    await relay.close()


async def test_a_slow_explainer_is_given_up(tmp_path):
    """No answer within the time is 504."""
    async with relaying(tmp_path, None, timeout=0.05) as (relay, _):
        with pytest.raises(DeadlineExceeded):
            await relay.forward(request(b"x"), "/gradcam")


async def test_a_slow_body_is_given_up(tmp_path):
    """A body that stops coming is 408, and its place is free again."""
    async with relaying(tmp_path, b"", body_seconds=0.05, limit=1) as (relay, explainer):
        for _ in range(2):
            with pytest.raises(TooSlow):
                await relay.forward(request(b"half", length=100), "/gradcam")
        await asyncio.wait_for(explainer.left.wait(), 5)


async def test_a_body_that_is_declared_too_large_is_refused(tmp_path):
    """A declared length over the limit is 413 before any of the body has come."""
    async with relaying(tmp_path, None) as (relay, explainer):
        with pytest.raises(TooLarge):
            await relay.forward(request(b"", length=1001), "/gradcam")
        assert explainer.bodies == []


async def test_a_body_that_is_too_large_is_refused(tmp_path):
    """More bytes than may be are 413 where no length was declared."""
    async with relaying(tmp_path, None) as (relay, _):
        with pytest.raises(TooLarge):
            await relay.forward(request(bytes(600), bytes(600), chunked=True), "/gradcam")


async def test_a_caller_that_leaves_within_the_body(tmp_path):
    """A body that is broken off is the caller's fault."""
    gone = asyncio.Event()
    gone.set()
    async with relaying(tmp_path, b"") as (relay, _):
        with pytest.raises(MalformedRequest):
            await relay.forward(request(b"half", length=100, then=gone), "/gradcam")


async def test_a_caller_that_leaves_takes_the_work_along(tmp_path):
    """When nobody waits for the heat map any more, the explainer's connection is closed."""
    gone = asyncio.Event()
    async with relaying(tmp_path, None) as (relay, explainer):
        forwarding = asyncio.ensure_future(relay.forward(request(b"x", then=gone), "/gradcam"))
        while not explainer.bodies:
            await asyncio.sleep(0.001)
        assert not explainer.left.is_set()
        gone.set()
        with pytest.raises(MalformedRequest):
            await forwarding
        await asyncio.wait_for(explainer.left.wait(), 5)


async def test_only_so_many_are_under_way(tmp_path):
    """Over the limit a request is turned away at once; when one is done there is room."""
    async with relaying(tmp_path, None, limit=1) as (relay, explainer):
        gone = asyncio.Event()
        first = asyncio.ensure_future(relay.forward(request(b"x", then=gone), "/gradcam"))
        while not explainer.bodies:
            await asyncio.sleep(0.001)
        with pytest.raises(Overloaded) as refused:
            await relay.forward(request(b"x"), "/gradcam")
        assert refused.value.headers == {"Retry-After": "5"}
        gone.set()
        with pytest.raises(MalformedRequest):
            await first
        explainer.answer = answer("200 OK", b"picture", "image/png")
        assert (await relay.forward(request(b"x"), "/gradcam")).status_code == 200


async def test_an_answer_counts_until_its_caller_has_taken_it(tmp_path):
    """Read from the explainer and not sent yet, a picture is held: it counts against the intake."""
    intake = ByteBudget(1000)
    picture = answer("200 OK", bytes(600), "image/png")
    async with relaying(tmp_path, picture, intake=intake) as (relay, _):
        got = await relay.forward(request(b"x"), "/gradcam")
        assert intake.held == 600
        with pytest.raises(Overloaded):
            await relay.forward(request(b"x"), "/gradcam")
        assert intake.held == 600
        await got({"type": "http"}, None, taken)
        assert intake.held == 0
        assert (await relay.forward(request(b"x"), "/gradcam")).status_code == 200


async def taken(message) -> None:
    pass


@pytest.mark.parametrize("reply", [FAILING["half an answer"], answer("415 No", REFUSAL)])
async def test_what_is_not_passed_on_is_not_held(tmp_path, reply):
    """Nothing counts of an answer that broke off, nor of a refusal."""
    intake = ByteBudget(1000)
    async with relaying(tmp_path, reply, intake=intake) as (relay, _):
        with suppress(Unavailable):
            await relay.forward(request(b"x"), "/gradcam")
    assert intake.held == 0
