"""The page's files over HTTP, and who may have them."""

import hashlib
import re

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.http.middleware.api_keys import ApiKeyRequired, ApiKeys
from service.http.middleware.security_headers import SecurityHeaders
from service.http.page_files import FILES, FOLDER, PATHS, ROUTES


async def _private(_):
    return PlainTextResponse("private")


def client(keys, host="10.0.0.5"):
    app = Starlette(routes=[*ROUTES, Route("/predict", _private, methods=["GET", "POST"])])
    guarded = SecurityHeaders(ApiKeyRequired(app, keys, allow_anonymous=False))
    return httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url=f"http://{host}:3000")


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys"
    path.write_text(hashlib.sha256(b"right").hexdigest())
    return ApiKeys(path)


async def test_the_page_is_open_where_keys_are_required_and_nothing_else_is(keys):
    """A browser gets the page's files without a key; radiographs are scored with one only."""
    async with client(keys) as asked:
        for path in PATHS:
            assert (await asked.get(path)).status_code == 200
        assert (await asked.post("/")).status_code == 401
        assert (await asked.get("/predict")).status_code == 401
        assert (await asked.get("/page/../predict")).status_code == 401
        assert (await asked.get("/predict", headers={"X-API-Key": "right"})).status_code == 200


async def test_without_keys_an_outside_address_gets_not_even_the_page():
    """A service without keys on an outside address was bound there by mistake: it answers 401."""
    async with client(None) as asked:
        assert (await asked.get("/")).status_code == 401
    async with client(None, "127.0.0.1") as asked:
        assert (await asked.get("/")).status_code == 200


async def test_each_file_has_its_media_type_and_the_strict_policy():
    """Files are what their ending says, and no script or style from elsewhere is allowed."""
    kinds = {"js": "text/javascript", "css": "text/css", "png": "image/png", "svg": "image/svg+xml"}
    async with client(None, "127.0.0.1") as asked:
        for file in FILES:
            answer = await asked.get(file.path)
            assert answer.content == file.content
            kind = kinds.get(file.path.rpartition(".")[2], "text/html")
            assert answer.headers["content-type"].split(";")[0] == kind
            policy = answer.headers["content-security-policy"]
            assert "script-src 'self'; style-src 'self'" in policy
            assert "unsafe" not in policy


def test_nothing_is_inline_and_no_markup_is_made_from_data():
    """No inline script, style or handler, no markup from strings, no address of another host."""
    for path in FOLDER.rglob("*"):
        if path.suffix not in (".html", ".js", ".css"):
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert not re.search(r"https?://", text)
        if path.suffix == ".html":
            assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)", text)


def test_every_module_that_is_imported_is_there():
    """What one file of the page names, another one is."""
    for path in FOLDER.glob("*.js"):
        for name in re.findall(r'from "\./([\w.]+)"', path.read_text(encoding="utf-8")):
            assert f"/page/{name}" in PATHS
    index = (FOLDER / "index.html").read_text(encoding="utf-8")
    for name in re.findall(r'(?:src|href)="(/[^"]*)"', index):
        assert name in PATHS
