"""Downloading a file over HTTP, resumable and verified."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from export.errors import DownloadFailed, WeightsRefused

ATTEMPTS = 4
"""Requests for one file, each going on where the last one broke off."""

MAX_BYTES = 512 * 2**20
"""Largest file that is taken, so that no server can fill the disk."""

TIMEOUT = httpx.Timeout(30.0, connect=10.0)

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _IncompleteError(Exception):
    """The connection ended before the file did; another request may go on from there."""


def fetch(
    url: str, target: Path, *, size: int | None = None, sha256: str | None = None
) -> tuple[int, str]:
    """Download `url` to `target`, which appears whole and verified or not at all.

    What has arrived is kept in `TARGET.part` with its entity tag in `TARGET.part.etag`, and a
    later call goes on from there (RFC 9110: Range with If-Range). A server that sends the
    whole file instead, or a tag that is no longer the same, starts it over.

    Args:
        url: http or https; redirects are followed.
        target: Where the file goes; its folder is made.
        size: Bytes it must have, where known.
        sha256: Hex digest it must have, where known.

    Returns:
        Its size in bytes and its SHA-256 in hex.

    Raises:
        DownloadFailed: The server cannot be reached, refuses, or keeps breaking off.
        WeightsRefused: The file arrived whole and is not the one expected; it is deleted.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(target)
    with _progress() as bar, httpx.Client(follow_redirects=True, timeout=TIMEOUT) as client:
        task = bar.add_task(target.name, total=size)

        def report(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total or size)

        for attempt in range(1, ATTEMPTS + 1):
            before = part.length
            try:
                _request(client, url, part, size, report)
                break
            except (httpx.HTTPError, httpx.InvalidURL, _IncompleteError, OSError) as error:
                hopeful = isinstance(error, _IncompleteError) or part.length > before
                if attempt == ATTEMPTS or not hopeful or isinstance(error, OSError):
                    raise DownloadFailed(_reason(error), url=url, kept=part.length) from error
    data = part.file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if sha256 not in (None, digest) or size not in (None, len(data)):
        part.discard()
        raise WeightsRefused(
            f"{url} sent {len(data):,} bytes with the SHA-256 {digest}, expected "
            f"{size or len(data):,} bytes with {sha256 or digest}. The file was deleted.",
            code="wrong_digest",
        )
    part.file.replace(target)
    part.discard()
    return len(data), digest


class _Part:
    """The part of a file that has arrived, and the entity tag of the whole it belongs to."""

    def __init__(self, target: Path) -> None:
        self.file = target.with_name(target.name + ".part")
        self._etag_file = target.with_name(target.name + ".part.etag")

    @property
    def length(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    @property
    def etag(self) -> str | None:
        return self._etag_file.read_text("ascii") if self._etag_file.exists() else None

    def begin(self, etag: str | None) -> None:
        """Forget what was there; from here on parts belong to the whole named `etag`."""
        self.discard()
        # A weak tag does not promise the same bytes, so it is not one to go on with.
        if etag and etag.isascii() and not etag.startswith("W/"):
            self._etag_file.write_text(etag, "ascii")

    def discard(self) -> None:
        self.file.unlink(missing_ok=True)
        self._etag_file.unlink(missing_ok=True)


def _request(
    client: httpx.Client,
    url: str,
    part: _Part,
    size: int | None,
    report: Callable[[int, int | None], None],
) -> None:
    """One request: `part` is whole afterwards, or longer than before and an error raised."""
    # Byte offsets count what travels, so nothing may be compressed on the way.
    headers = {"Accept-Encoding": "identity"}
    etag = part.etag
    if part.length and etag:
        headers |= {"Range": f"bytes={part.length}-", "If-Range": etag}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.discard()
            raise _IncompleteError("the server did not accept where to go on")
        response.raise_for_status()
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadFailed("The server sent the file compressed.", url=url)
        total = _begin(response, part)
        if (total or 0) > MAX_BYTES or (size and total and total != size):
            part.discard()
            raise WeightsRefused(
                f"{url} announces {total:,} bytes, expected {size or MAX_BYTES:,}"
                f"{'' if size else ' at most'}.",
                code="wrong_size",
            )
        with part.file.open("ab") as file:
            report(file.tell(), total)
            for chunk in response.iter_raw():
                file.write(chunk)
                report(file.tell(), total)
                if file.tell() > (total or size or MAX_BYTES):
                    break
            arrived = file.tell()
    if arrived > (total or size or MAX_BYTES):
        part.discard()
        raise WeightsRefused(f"{url} sent more than it announced.", code="wrong_size")
    if arrived < (total or size or 0):
        raise _IncompleteError(f"it ended after {arrived:,} of {total or size:,} bytes")


def _begin(response: httpx.Response, part: _Part) -> int | None:
    """Make `part` end where this response begins; the whole file's length where announced."""
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != part.length:
            part.discard()
            raise _IncompleteError("the server sent another part than was asked for")
        return None if found[2] == "*" else int(found[2])
    part.begin(response.headers.get("ETag"))
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server answered {error.response.status_code}"
    return str(error) or type(error).__name__


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
