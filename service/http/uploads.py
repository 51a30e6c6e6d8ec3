"""Reading uploads: files as bytes in memory, other form fields as text."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from service.errors import MalformedRequest, Overloaded, TooLarge, TooSlow, UnsupportedMedia
from service.media_types import DICOM
from service.settings import Settings

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

_MULTIPART = "multipart/form-data"
_HOW = "Send a multipart form with the image's file in the field {field!r}."
_HOW_PLAIN = _HOW[:-1] + ", or the file itself as an image, DICOM or application/octet-stream."
_NEVER_READ = "application/vnd.bentoml+pickle"
"""What the framework's own clients may send each other, and loading it would run what is in it."""

FILE_TYPES = ("application/octet-stream", DICOM)
"""Bodies that are an image's file itself, beside those of any image type. Which of these is said
changes nothing: what a file is, its bytes say."""


@dataclass(frozen=True)
class Form:
    """Files and fields of a request.

    Attributes:
        files: The files of the image field, in order; their names are not kept.
        texts: The other fields, each once.
    """

    files: tuple[Upload, ...]
    texts: dict[str, str]


class ByteBudget:
    """The bytes of all uploads and answers that are held at one time; counted in any thread.

    Args:
        budget: Bytes at the most; what would exceed it is turned away.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self.held = 0

    def take(self, size: int) -> None:
        """Count bytes in.

        Raises:
            Overloaded: They do not fit.
        """
        with self._lock:
            if self.held + size <= self._budget:
                self.held += size
                return
        raise Overloaded("Too much is being sent at this moment; try again soon.")

    def give_back(self, size: int) -> None:
        """Count bytes out that were released."""
        with self._lock:
            self.held -= size


class Upload:
    """A file that was sent, counted against the intake until its bytes are released.

    They are released when the request drops them or, where a thread is at work on them then, when
    it is done.

    Args:
        data: The file.
        intake: Where its bytes are counted in already.
    """

    def __init__(self, data: bytes, intake: ByteBudget) -> None:
        self._data: bytes | None = data
        self._intake = intake
        self._lock = threading.Lock()
        self._users = 0
        self._dropped = False

    def __len__(self) -> int:
        return len(self._data) if self._data is not None else 0

    @contextmanager
    def in_use(self) -> Iterator[bytes]:
        """Keep the bytes from being released while the block lasts; in any thread.

        Yields:
            The file.

        Raises:
            CancelledError: The request has dropped it.
        """
        with self._lock:
            if self._dropped or self._data is None:
                raise CancelledError
            self._users += 1
        try:
            yield self._data
        finally:
            with self._lock:
                self._users -= 1
            self._release()

    def drop(self) -> None:
        """The request needs the bytes no more. Doing it again changes nothing."""
        with self._lock:
            self._dropped = True
        self._release()

    def _release(self) -> None:
        with self._lock:
            if not self._dropped or self._users or self._data is None:
                return
            size, self._data = len(self._data), None
        self._intake.give_back(size)


class _InMemoryParser(MultiPartParser):
    """Keeps files in memory: the body's size is limited, and no image ever touches a disk."""

    spool_max_size = 1 << 40


@asynccontextmanager
async def read_form(
    request: Request,
    field: str,
    settings: Settings,
    intake: ByteBudget,
    *,
    max_files: int = 1,
    plain: bool = False,
) -> AsyncIterator[Form]:
    """Read a request's form; its bytes count against the intake until they are released.

    That is when the block is left, or later for a file that a thread is at work on then.

    Args:
        request: The request, its body not read yet.
        field: Name of the field that holds image files.
        settings: Limits on the body's bytes and on the time that it may take.
        intake: What all bodies together may hold.
        max_files: Files at the most.
        plain: Whether the body may also be the file itself.

    Raises:
        UnsupportedMedia: A body that is never read.
        MalformedRequest: No multipart form, no file, too many, or a text where a file belongs.
        TooLarge: The body is larger than one may be.
        TooSlow: It did not arrive in time.
        Overloaded: All bodies together are larger than they may be.
    """
    body = Body(request, settings.max_bytes, intake)
    files: tuple[Upload, ...] = ()
    beside = 0
    try:
        try:
            async with timeout(settings.body_seconds):
                form = await _parse(request, field, body, max_files, plain)
        except asyncio.TimeoutError as error:
            raise too_slow(settings.body_seconds) from error
        files = form.files
        beside = sum(map(len, files))
        yield form
    finally:
        intake.give_back(body.seen - beside)
        for file in files:
            file.drop()


class Body:
    """A request's body, cut off with an error once it is over a limit, whatever was declared.

    Args:
        request: Its body has not been read.
        max_bytes: The limit.
        intake: What counts the bytes in; whoever reads the body gives `seen` back to it.
    """

    def __init__(self, request: Request, max_bytes: int, intake: ByteBudget) -> None:
        self._request = request
        self._max_bytes = max_bytes
        self.intake = intake
        self.seen = 0

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives.

        Raises:
            TooLarge: It is over the limit, or was declared to be.
            Overloaded: The intake is full.
        """
        declared = self._request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large()
        async for chunk in self._request.stream():
            if self.seen + len(chunk) > self._max_bytes:
                raise self._too_large()
            self.intake.take(len(chunk))
            self.seen += len(chunk)
            yield chunk

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The request is larger than the {self._max_bytes / (1 << 20):g} MiB that are "
            "accepted.",
            max_bytes=self._max_bytes,
        )


async def _parse(request: Request, field: str, body: Body, max_files: int, plain: bool) -> Form:
    how = (_HOW_PLAIN if plain else _HOW).format(field=field)
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    declared = request.headers.get("content-length", "")
    if declared == "0" or (not declared and "transfer-encoding" not in request.headers):
        raise MalformedRequest(f"Nothing was sent. {how}", code="nothing_sent")
    if media_type == _NEVER_READ:
        raise UnsupportedMedia(f"A body of the type {_NEVER_READ} is not read. {how}")
    if plain and (media_type in FILE_TYPES or media_type.startswith("image/")):
        return await _plain(body, how)
    if media_type != _MULTIPART:
        raise MalformedRequest(how, code="not_multipart")
    return await _multipart(request, field, body, max_files, how)


async def _multipart(request: Request, field: str, body: Body, max_files: int, how: str) -> Form:
    parser = _InMemoryParser(
        request.headers,
        body.chunks(),
        max_files=max_files,
        max_fields=16,
        max_part_size=1 << 16,
    )
    try:
        parsed = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        reason = error.message if isinstance(error, MultiPartException) else "it has no boundary"
        raise MalformedRequest(f"The form cannot be read: {reason.rstrip('.')}. {how}") from error
    except ClientDisconnect as error:
        raise cut_off() from error
    files: list[Upload] = []
    texts: dict[str, str] = {}
    try:
        for name, value in parsed.multi_items():
            if isinstance(value, UploadFile):
                if name != field:
                    raise MalformedRequest(f"There is no file field {name[:40]!r}. {how}")
                files.append(Upload(await value.read(), body.intake))
                await value.close()  # there are two copies of one file at a time, not of all
            elif name == field:
                raise MalformedRequest(
                    f"The field {field!r} holds text. Send the file itself; addresses are not "
                    "fetched.",
                    code="text_for_file",
                )
            else:
                texts[name] = value
    finally:
        await parsed.close()
    if not any(files):
        raise MalformedRequest(f"No image was sent. {how}", code="nothing_sent")
    return Form(tuple(files), texts)


async def _plain(body: Body, how: str) -> Form:
    """A body that is the file itself, as a form of one file."""
    buffer = io.BytesIO()  # gives out what was written without a copy
    try:
        async for chunk in body.chunks():
            buffer.write(chunk)
    except ClientDisconnect as error:
        raise cut_off() from error
    if not body.seen:
        raise MalformedRequest(f"No image was sent. {how}", code="nothing_sent")
    return Form((Upload(buffer.getvalue(), body.intake),), {})


def wants_dicom(request: Request) -> bool:
    """Whether a request's Accept header names `application/dicom`."""
    accepted = request.headers.get("accept", "").lower().split(",")
    return any(part.split(";")[0].strip() == DICOM for part in accepted)


def cut_off() -> MalformedRequest:
    """The error for a caller that disconnected during its request."""
    return MalformedRequest("The connection was closed before all of it was sent.")


def too_slow(seconds: float) -> TooSlow:
    """The error for a body that did not arrive in time."""
    return TooSlow(f"The request did not arrive within {seconds:g} seconds.")
