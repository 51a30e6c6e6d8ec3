"""The files of the page, read once at the start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).parent.parent / "page"

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
_INDEX = "index.html"


@dataclass(frozen=True)
class PageFile:
    """A file of the page."""

    path: str
    content: bytes
    media_type: str

    async def answer(self, _: Request) -> Response:
        return Response(self.content, media_type=self.media_type)


def _read() -> tuple[PageFile, ...]:
    found = (path for path in sorted(FOLDER.rglob("*")) if path.suffix in _MEDIA_TYPES)
    return tuple(
        PageFile(
            path="/" if path.name == _INDEX else f"/page/{path.relative_to(FOLDER).as_posix()}",
            content=path.read_bytes(),
            media_type=_MEDIA_TYPES[path.suffix],
        )
        for path in found
    )


FILES = _read()

PATHS = frozenset(file.path for file in FILES)
"""Where they are answered."""

ROUTES = tuple(Route(file.path, file.answer) for file in FILES)
