"""API keys: several at once for rotation, only their digests kept, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import SettingRefused, Unauthorised
from service.http import page_files
from service.http.middleware.error_responses import ErrorResponse
from service.metrics import API_KEYS_STALE

log = logging.getLogger("cxr.keys")

HEADER = "x-api-key"
OPEN_PATHS = frozenset(
    {"/livez", "/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}
)
"""Answered without a key: probes and metrics, which say nothing of any patient."""

OPEN_WITH_KEYS = page_files.PATHS
"""Answered without a key where keys are configured: a browser asks for a page before anybody
can type one. What the page shows of radiographs and of the model needs the key."""

FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Real-IP")
"""Headers by which a proxy says that a request is another machine's (RFC 7239, RFC 9110 section
7.6.3, and the two names that came before them)."""

_REMEDY = "set CXR_API_KEYS_FILE, or CXR_ALLOW_ANONYMOUS=true."
_DIGEST = re.compile(r"[0-9a-f]{64}")


def digest(key: str) -> str:
    """SHA-256 of a key in hexadecimal digits."""
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
        self._refusal: str | None = None

    def _current_stamp(self) -> tuple[int, int, int] | None:
        """What changes when the file does; None while it is not there."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> tuple[str, ...]:
        found = []
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise SettingRefused(f"CXR_API_KEYS_FILE: {self._path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
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

    def refresh(self) -> None:
        """Read the file again if it changed since it was last looked at.

        A file that cannot be used leaves the keys known so far good: a slip in a rotation must not
        shut everybody out. It is tried again each time, and is one error in the log each time that
        it changes or that the reason does; cxr_api_keys_stale is 1 until it can be used.
        """
        stamp = self._current_stamp()
        changed = stamp != self._stamp
        if not changed and self._refusal is None:
            return
        self._stamp = stamp
        try:
            self._digests = self._read()
        except SettingRefused as fault:
            if changed or fault.message != self._refusal:
                log.error("%s; the keys known so far stay good", fault.message)
            self._refusal = fault.message
        else:
            log.info("API keys were read again", extra={"keys": len(self._digests)})
            self._refusal = None
        API_KEYS_STALE.set(self._refusal is not None)

    def accepts(self, key: str) -> bool:
        """Whether a key is one of those in the file as it was last read."""
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


class AccessRule:
    """Who is answered, whichever way a request comes.

    Without a file of keys only loopback is served, unless that is waived: a service that was
    bound to an outside address by mistake answers nobody, and neither do callers behind a proxy on
    the same machine pass for local ones where the proxy says whom it stands for.

    Args:
        keys: The keys; None where none are configured.
        allow_anonymous: Whether callers without a key are served on any address.
    """

    def __init__(self, keys: ApiKeys | None, allow_anonymous: bool) -> None:
        self.keys = keys
        self._allow_anonymous = allow_anonymous

    def refusal(self, headers: Mapping[str, str], local: bool) -> str | None:
        """Why a request is refused; None where it is not.

        Args:
            headers: Its headers or metadata, names in lower case or any.
            local: Whether it comes from this machine.
        """
        if self.keys is not None:
            key = headers.get(HEADER)
            known = key is not None and self.keys.accepts(key)
            return None if known else "Send a known API key in the header X-API-Key."
        if self._allow_anonymous:
            return None
        if not local:
            return f"This service has no API keys and answers its own machine only: {_REMEDY}"
        if forwarded := next((name for name in FORWARDED if name in headers), None):
            return (
                "This service has no API keys and answers its own machine only, and a proxy sent "
                f"this request for another (header {forwarded}): {_REMEDY}"
            )
        return None


class ApiKeyRequired:
    """Middleware that asks for a key.

    Args:
        app: What it wraps.
        keys: The keys; None where none are configured.
        allow_anonymous: As for `AccessRule`.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys | None, allow_anonymous: bool) -> None:
        self._app = app
        self._rule = AccessRule(keys, allow_anonymous)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        keys = self._rule.keys
        if keys is not None:
            keys.refresh()  # whoever asks: the gauge is read by requests that need no key
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        page = scope["path"] in OPEN_WITH_KEYS and scope["method"] in ("GET", "HEAD")
        reason = None if keys is not None and page else self._why_not(scope)
        if reason is None:
            await self._app(scope, receive, send)
        else:
            await ErrorResponse(Unauthorised(reason))(scope, receive, send)

    def _why_not(self, scope: Scope) -> str | None:
        """Why a request is refused; None where it is not."""
        server = scope.get("server")
        # A local socket has no port: it is reached through the gateway only.
        local = server is None or server[1] is None or is_loopback(server[0])
        return self._rule.refusal(HTTPConnection(scope).headers, local)
