"""Every error that a caller may see, in one tree; each class carries its HTTP status.

CxrError
├── ClientFault                     the request is wrong; sending it again will not help
│   ├── MalformedRequest     400    no multipart body, a field missing or of the wrong kind
│   ├── TruncatedImage       400    the file ends early or its data are damaged
│   ├── Unreadable           400    a file of an archive that cannot be opened; never over HTTP
│   ├── Unauthorised         401    no API key, or none that is known
│   ├── NotFound             404    no model of this name or version (Open Inference Protocol)
│   ├── TooSlow              408    the body did not arrive in time
│   ├── TooLarge             413    over a limit on bytes, pixels, width or height
│   ├── NotAnImage           415    no format that the service reads
│   ├── UnsupportedMedia     415    a body of a kind that is never read
│   ├── Unprocessable        422    a readable image that is not to be scored
│   │   └── UnknownTarget    422    a pathology that these weights do not name
│   └── Overloaded           429    the queue is full; try again after `retry_after` seconds
├── ServerFault                     the service is at fault
│   ├── InferenceFailed      500    the network gave no finite answer for this image
│   ├── Unavailable          503    starting, draining, or a part of the service is down
│   └── DeadlineExceeded     504    the answer would have come after the deadline
└── SetupFault                      raised before anything is served; never over HTTP
├── BundleRefused               a bundle is missing, damaged or not what it says
├── SiteRefused                 a site's file is damaged, changed, or fitted to another bundle
├── SettingRefused              a setting has a value that is not allowed
└── ArchiveRefused              an archive cannot be scored as asked; no file of it was looked at
"""

from __future__ import annotations

from typing import Any, ClassVar


class CxrError(Exception):
    """Root of the tree.

    Args:
        message: One sentence for a person; never holds patient data or a path of the server.
        code: Machine-readable name; the class's own where left out.
        **detail: Facts that a program can use, JSON-serialisable.
    """

    status: ClassVar[int] = 500
    code: str = "internal_error"

    def __init__(self, message: str, *, code: str | None = None, **detail: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.detail = detail

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to an answer of this status."""
        return {}

    def body(self) -> dict[str, Any]:
        """The one JSON shape of every error answer."""
        return {"error": {"code": self.code, "message": self.message, "detail": self.detail}}


class ClientFault(CxrError):
    status = 400
    code = "bad_request"


class MalformedRequest(ClientFault):
    code = "malformed_request"


class TruncatedImage(ClientFault):
    code = "truncated_image"


class Unreadable(ClientFault):
    code = "unreadable"


class Unauthorised(ClientFault):
    status = 401
    code = "unauthorised"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "ApiKey"}


class NotFound(ClientFault):
    status = 404
    code = "not_found"


class TooSlow(ClientFault):
    status = 408
    code = "too_slow"


class TooLarge(ClientFault):
    status = 413
    code = "too_large"


class NotAnImage(ClientFault):
    status = 415
    code = "not_an_image"


class UnsupportedMedia(ClientFault):
    status = 415
    code = "unsupported_media_type"


class Unprocessable(ClientFault):
    status = 422
    code = "unprocessable"


class UnknownTarget(Unprocessable):
    code = "unknown_target"


class Overloaded(ClientFault):
    status = 429
    code = "overloaded"

    def __init__(self, message: str, *, retry_after: int = 1, **detail: Any) -> None:
        super().__init__(message, retry_after=retry_after, **detail)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class ServerFault(CxrError):
    status = 500


class InferenceFailed(ServerFault):
    code = "inference_failed"


class Unavailable(ServerFault):
    status = 503
    code = "unavailable"


class DeadlineExceeded(ServerFault):
    status = 504
    code = "deadline_exceeded"


class SetupFault(CxrError):
    code = "setup_fault"


class BundleRefused(SetupFault):
    code = "bundle_refused"


class SiteRefused(SetupFault):
    code = "site_refused"


class SettingRefused(SetupFault):
    code = "setting_refused"


class ArchiveRefused(SetupFault):
    code = "archive_refused"
