"""Reading a form: what is a file, what is refused, and what is held while it is read."""

import asyncio
import threading
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest
from starlette.requests import Request

from service.errors import MalformedRequest, Overloaded, TooLarge, TooSlow, UnsupportedMedia
from service.http.uploads import ByteBudget, read_form
from service.settings import Settings

KIB = 1 << 10
SETTINGS = Settings(max_bytes=4 * KIB, body_seconds=5)
BOUNDARY = "b"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def request(*chunks: bytes, length: int | None = None, kind: str | None = None, then=None):
    """A request whose body comes in these chunks; after them whatever `then` answers."""
    headers = [(b"content-type", (kind or f"multipart/form-data; boundary={BOUNDARY}").encode())]
    if length is None:
        headers.append((b"transfer-encoding", b"chunked"))
    else:
        headers.append((b"content-length", str(length).encode()))
    left = list(chunks)

    async def receive():
        if left:
            body = left.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(left) or bool(then)}
        return await then() if then else {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    return Request(scope, receive)


async def read(
    asked: Request,
    intake: ByteBudget | None = None,
    settings=SETTINGS,
    max_files: int = 1,
    plain: bool = False,
):
    async with read_form(
        asked, "image", settings, intake or ByteBudget(1 << 20), max_files=max_files, plain=plain
    ) as found:
        files = []
        for upload in found.files:
            with upload.in_use() as data:
                files.append(data)
        return SimpleNamespace(files=tuple(files), texts=found.texts)


async def hang():
    await asyncio.Event().wait()


async def disconnect():
    return {"type": "http.disconnect"}


async def test_files_and_texts_are_told_apart():
    """The image field's files come in order, other fields as text."""
    body = form(part("image", b"one", "a"), part("target", b"Mass"), part("image", b"two", "b"))
    found = await read(request(body), max_files=2)
    assert (found.files, found.texts) == ((b"one", b"two"), {"target": "Mass"})


@pytest.mark.parametrize("size", [1, 7, 64])
async def test_a_body_may_come_in_pieces(size):
    """How a body is cut into chunks changes nothing."""
    body = form(part("image", bytes(range(256)), "a"))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert (await read(request(*pieces))).files == (bytes(range(256)),)


REFUSED = {
    "a text for the file": (form(part("image", b"http://a/b.png")), "text_for_file"),
    "another file field": (form(part("picture", b"x", "a")), "malformed_request"),
    "an empty file": (form(part("image", b"", "a")), "nothing_sent"),
    "no file": (form(part("target", b"Mass")), "nothing_sent"),
    "too many files": (
        form(part("image", b"x", "a"), part("image", b"y", "b")),
        "malformed_request",
    ),
    "too many fields": (
        form(part("image", b"x", "a"), *(part(f"f{n}", b"x") for n in range(17))),
        "malformed_request",
    ),
    "not a form": (b"\x00\x01 no form at all", "malformed_request"),
    "only an end": (form(), "nothing_sent"),
}


@pytest.mark.parametrize(("body", "code"), REFUSED.values(), ids=list(REFUSED))
async def test_a_form_that_is_no_image_is_refused(body, code):
    """Each way to send something else than one file has its code."""
    with pytest.raises(MalformedRequest) as refused:
        await read(request(body))
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("application/json", "not_multipart"),
        ("multipart/form-data", "malformed_request"),
        ("application/x-www-form-urlencoded", "not_multipart"),
    ],
)
async def test_another_kind_of_body_is_refused(kind, code):
    """Only a multipart form with a boundary is read."""
    with pytest.raises(MalformedRequest) as refused:
        await read(request(b"x", kind=kind))
    assert refused.value.code == code


FILE_KINDS = ("application/octet-stream", "application/dicom", "image/png", "Image/JPEG; q=1")


@pytest.mark.parametrize("kind", FILE_KINDS)
async def test_a_body_may_be_the_file_itself(kind):
    """Where one file is asked for, a body of a file's type is that file, in whatever pieces."""
    found = await read(request(b"\x89P", b"NG\r", b"\n", kind=kind), plain=True)
    assert (found.files, found.texts) == ((b"\x89PNG\r\n",), {})


@pytest.mark.parametrize("kind", FILE_KINDS)
async def test_a_file_itself_is_no_form(kind):
    """Where texts or several files are asked for, only a form is read."""
    with pytest.raises(MalformedRequest) as refused:
        await read(request(b"x", kind=kind))
    assert refused.value.code == "not_multipart"


PLAIN_REFUSED = {
    "nothing in chunks": ((b"",), "image/png", MalformedRequest, "nothing_sent"),
    "too large": ((bytes(2 * KIB), bytes(2 * KIB + 1)), "image/png", TooLarge, "too_large"),
    "no file's type": ((b"x",), "text/plain", MalformedRequest, "not_multipart"),
    "a file's type in its name": ((b"x",), "x-image/png", MalformedRequest, "not_multipart"),
}


@pytest.mark.parametrize(
    ("chunks", "kind", "fault", "code"), PLAIN_REFUSED.values(), ids=list(PLAIN_REFUSED)
)
async def test_a_body_that_is_no_file_is_refused(chunks, kind, fault, code):
    """The limits and the codes are those of a form, and the message names both ways."""
    intake = ByteBudget(1 << 20)
    with pytest.raises(fault) as refused:
        await read(request(*chunks, kind=kind), intake, plain=True)
    assert refused.value.code == code
    assert fault is TooLarge or "or the file itself" in refused.value.message
    assert intake.held == 0


@pytest.mark.parametrize("plain", [False, True])
async def test_a_pickle_is_never_read(plain):
    """What would be run when it is loaded is refused by its type, unread."""
    asked = request(length=100, kind="application/vnd.bentoml+pickle", then=hang)
    with pytest.raises(UnsupportedMedia):
        await read(asked, plain=plain)


async def test_a_declared_length_of_nothing_is_refused():
    """A body that is declared empty is not waited for."""
    with pytest.raises(MalformedRequest) as refused:
        await read(request(length=0, then=hang))
    assert refused.value.code == "nothing_sent"


async def test_too_large_by_declaration_is_refused_unread():
    """A declared length over the limit is refused before a byte is read."""
    with pytest.raises(TooLarge) as refused:
        await read(request(length=4 * KIB + 1, then=hang))
    assert refused.value.detail == {"max_bytes": 4 * KIB}


@pytest.mark.parametrize("over", [0, 1], ids=["at the limit", "one byte over"])
async def test_too_large_in_chunks_is_refused(over):
    """Bytes are counted as they come: exactly the limit is read, one byte more is refused."""
    frame = len(form(part("image", b"", "a")))
    body = form(part("image", bytes(4 * KIB + over - frame), "a"))
    asked = request(*(body[at : at + 500] for at in range(0, len(body), 500)))
    if over:
        with pytest.raises(TooLarge):
            await read(asked)
    else:
        assert len((await read(asked)).files[0]) == 4 * KIB - frame


async def test_a_declared_length_that_is_a_lie_is_found_out():
    """More bytes than were declared are counted all the same."""
    with pytest.raises(TooLarge):
        await read(request(form(part("image", bytes(5 * KIB), "a")), length=100))


async def test_a_slow_body_is_given_up():
    """A body that stops coming is refused after the time that it may take."""
    settings = SETTINGS.model_copy(update={"body_seconds": 0.02})
    intake = ByteBudget(1 << 20)
    with pytest.raises(TooSlow) as refused:
        await read(request(part("image", b"half", "a"), then=hang), intake, settings)
    assert refused.value.message == "The request did not arrive within 0.02 seconds."
    assert intake.held == 0


@pytest.mark.parametrize("kind", [None, "image/png"], ids=["form", "file"])
async def test_a_caller_that_leaves_is_no_server_fault(kind):
    """A connection that is closed within the body is the caller's fault, and nothing is kept."""
    intake = ByteBudget(1 << 20)
    asked = request(part("image", b"half", "a"), kind=kind, then=disconnect)
    with pytest.raises(MalformedRequest, match="closed before all of it was sent"):
        await read(asked, intake, plain=kind is not None)
    assert intake.held == 0


async def test_bytes_are_held_until_the_work_is_done():
    """A body counts against the intake for as long as its block lasts, not only while it comes."""
    intake = ByteBudget(1 << 20)
    body = form(part("image", b"x" * 100, "a"))
    async with read_form(request(body), "image", SETTINGS, intake):
        assert intake.held == len(body)
    assert intake.held == 0


async def test_all_bodies_together_have_a_limit():
    """A body that does not fit beside the others is turned away; one that comes later is read."""
    body = form(part("image", b"x" * 100, "a"))
    intake = ByteBudget(len(body) + 10)
    async with read_form(request(body), "image", SETTINGS, intake):
        with pytest.raises(Overloaded):
            await read(request(body), intake)
        assert intake.held == len(body)
    assert (await read(request(body), intake)).files == (b"x" * 100,)


async def test_the_intake_is_given_back_when_the_work_fails():
    """An error of the work inside the block gives the bytes back as well."""
    intake = ByteBudget(1 << 20)
    with pytest.raises(ZeroDivisionError):
        async with read_form(request(form(part("image", b"x", "a"))), "image", SETTINGS, intake):
            raise ZeroDivisionError
    assert intake.held == 0


async def files_of_three(intake: ByteBudget):
    """A request that sent files of 100, 200 and 300 bytes."""
    body = form(*(part("image", b"x" * size, "a") for size in (100, 200, 300)))
    return request(body), len(body)


async def test_a_dropped_file_counts_no_more_while_the_others_do():
    """A batch gives each file's bytes back when it needs them no more, not all at its end."""
    intake = ByteBudget(1 << 20)
    asked, size = await files_of_three(intake)
    async with read_form(asked, "image", SETTINGS, intake, max_files=3) as found:
        assert intake.held == size
        found.files[1].drop()
        assert intake.held == size - 200
        found.files[1].drop()
        assert intake.held == size - 200
    assert intake.held == 0


async def test_a_file_that_a_thread_is_at_work_on_counts_until_it_is_done():
    """The request is over, and what is still held of it counts: that file, and nothing else."""
    intake = ByteBudget(1 << 20)
    begun, may_end = threading.Event(), threading.Event()

    def work(upload):
        with upload.in_use() as data:
            begun.set()
            assert may_end.wait(30)
            return len(data)

    asked, _ = await files_of_three(intake)
    async with read_form(asked, "image", SETTINGS, intake, max_files=3) as found:
        working = asyncio.create_task(asyncio.to_thread(work, found.files[1]))
        assert await asyncio.to_thread(begun.wait, 30)
    assert intake.held == 200
    may_end.set()
    assert await working == 200
    assert intake.held == 0


async def test_a_dropped_file_is_gone():
    """Nobody begins to work on a file that its request has dropped, and its bytes are released."""
    intake = ByteBudget(1 << 20)
    async with read_form(request(form(part("image", b"x", "a"))), "image", SETTINGS, intake) as got:
        (upload,) = got.files
    assert len(upload) == 0
    with pytest.raises(CancelledError), upload.in_use():
        pass
    assert intake.held == 0
