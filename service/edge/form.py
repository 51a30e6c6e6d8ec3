"""Reading a multipart form: files as bytes in memory, text as text, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from service.errors import MalformedRequest, TooLarge

_MULTIPART = "multipart/form-data"
_HOW = "Send a multipart form with the image's file in the field {field!r}."


@dataclass(frozen=True)
class Form:
    """A form that was read.

    Attributes:
        files: Contents of the files of the image field, in order; their names are not kept.
        texts: The other fields, each once.
    """

    files: tuple[bytes, ...]
    texts: dict[str, str]


class _InMemoryParser(MultiPartParser):
    """Keeps files in memory: the body's size is limited, and no image ever touches a disk."""

    spool_max_size = 1 << 40


async def read_form(request: Request, field: str, *, max_bytes: int, max_files: int = 1) -> Form:
    """Read a request's form.

    Args:
        request: The request, its body not read yet.
        field: Name of the field that holds image files.
        max_bytes: Bytes of the whole body at the most, declared or not.
        max_files: Files at the most.

    Raises:
        MalformedRequest: No multipart form, no file, too many, or a text where a file belongs.
        TooLarge: The body is larger than `max_bytes`.
    """
    how = _HOW.format(field=field)
    content_type = request.headers.get("content-type", "")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    if declared == "0" or (not declared and "transfer-encoding" not in request.headers):
        raise MalformedRequest(f"Nothing was sent. {how}", code="nothing_sent")
    if content_type.split(";")[0].strip().lower() != _MULTIPART:
        raise MalformedRequest(how, code="not_multipart")
    parser = _InMemoryParser(
        request.headers,
        _limited(request.stream(), max_bytes),
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
    files: list[bytes] = []
    texts: dict[str, str] = {}
    try:
        for name, value in parsed.multi_items():
            if isinstance(value, UploadFile):
                if name != field:
                    raise MalformedRequest(f"There is no file field {name[:40]!r}. {how}")
                files.append(await value.read())
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


async def _limited(stream: AsyncIterator[bytes], max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The stream, cut off with an error once it is over the limit, whatever was declared."""
    seen = 0
    async for chunk in stream:
        seen += len(chunk)
        if seen > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


def cut_off() -> MalformedRequest:
    """The fault of a caller that went away in the middle of its request."""
    return MalformedRequest("The connection was closed before the whole form was sent.")


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        f"The request is larger than the {max_bytes / (1 << 20):g} MiB that are accepted.",
        max_bytes=max_bytes,
    )
