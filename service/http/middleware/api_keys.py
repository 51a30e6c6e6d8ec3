"""API keys: several at once for rotation, only their digests kept, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from functools import lru_cache
from pathlib import Path

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import SettingRefused, Unauthorised
from service.http import page_files
from service.http.middleware.error_responses import ErrorResponse

HEADER = "x-api-key"
OPEN_PATHS = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})
"""Answered without a key: probes and metrics, which say nothing of any patient."""

OPEN_WITH_KEYS = page_files.PATHS
"""Answered without a key where keys are configured: a browser asks for a page before anybody
can type one. What the page shows of radiographs and of the model needs the key."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def digest(key: str) -> str:
    """What is kept of a key: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """The digests in a file, read again when the file changes.

    A line is a digest, then anything: `sha256sum` of a key makes such a line. Empty lines and
    lines that start with # are passed over.

    Args:
        path: The file.

    Raises:
        SettingRefused: It cannot be read, holds no digest, or a line is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._current_stamp()
        self._digests = self._read()

    def _current_stamp(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise SettingRefused(f"CXR_API_KEYS_FILE: {self._path}: {error.strerror}") from error
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> tuple[str, ...]:
        found = []
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingRefused(f"CXR_API_KEYS_FILE: {self._path} cannot be read") from error
        for number, line in enumerate(lines, 1):
            word = line.split(maxsplit=1)[0].lower() if line.strip() else "#"
            if word.startswith("#"):
                continue
            if not _DIGEST.fullmatch(word):
                raise SettingRefused(
                    f"CXR_API_KEYS_FILE: line {number} is no SHA-256 digest of a key"
                )
            found.append(word)
        if not found:
            raise SettingRefused("CXR_API_KEYS_FILE: it holds no digest")
        return tuple(found)

    def accepts(self, key: str) -> bool:
        """Whether a key is one of those in the file as it is now.

        A file that has become unreadable changes nothing: the keys known so far stay good.
        """
        try:
            stamp = self._current_stamp()
            if stamp != self._stamp:
                self._digests, self._stamp = self._read(), stamp
        except SettingRefused:
            pass
        offered = digest(key)
        # Every digest is compared, so that the time taken does not tell which one was near.
        same = [hmac.compare_digest(offered, known) for known in self._digests]
        return any(same)


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether an address is reached from its own machine only; a name counts as no."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ApiKeyRequired:
    """Middleware that asks for a key.

    Without a file of keys only loopback is served, unless that is waived: a service that was
    bound to an outside address by mistake answers nobody.

    Args:
        app: What it wraps.
        keys: The keys; None where none are configured.
        allow_anonymous: Whether callers without a key are served on any address.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys | None, allow_anonymous: bool) -> None:
        self._app = app
        self._keys = keys
        self._allow_anonymous = allow_anonymous

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._may_pass(scope):
            await self._app(scope, receive, send)
            return
        if self._keys is None:
            message = (
                "This service has no API keys configured and answers its own machine only: set "
                "CXR_API_KEYS_FILE, or CXR_ALLOW_ANONYMOUS=true."
            )
        else:
            message = "Send a known API key in the header X-API-Key."
        await ErrorResponse(Unauthorised(message))(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        if self._keys is not None:
            if scope["path"] in OPEN_WITH_KEYS and scope["method"] in ("GET", "HEAD"):
                return True
            key = HTTPConnection(scope).headers.get(HEADER)
            return key is not None and self._keys.accepts(key)
        if self._allow_anonymous:
            return True
        server = scope.get("server")
        # A local socket has no port: it is reached through the gateway only.
        return server is None or server[1] is None or is_loopback(server[0])
