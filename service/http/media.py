"""Media types: what an answer is, and what a caller asks for."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

DICOM = "application/dicom"
JSON = "application/json"
PNG = "image/png"


@dataclass(frozen=True)
class Reply:
    """A body and what it is."""

    content: bytes
    media_type: str


def wants_dicom(request: Request) -> bool:
    """Whether a caller asks for DICOM (its Accept header names it)."""
    accepted = request.headers.get("accept", "").lower().split(",")
    return any(part.split(";")[0].strip() == DICOM for part in accepted)
