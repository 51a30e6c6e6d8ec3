"""From a request straight to the API method that answers it."""

from typing import Any

import bentoml
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service.http.direct_routes import DirectRoutes, RouteTable
from service.http.framework import api_methods
from service.http.input_specs import ImageForm, PngFile


@bentoml.service
class Weighing:
    """A service with one API method, on a path that is not its name."""

    def __init__(self, sign: str) -> None:
        self._sign = sign

    @bentoml.api(route="/weight", input_spec=ImageForm, output_spec=PngFile)
    async def weigh(self, image: Request, **_: Any) -> Response:
        return PlainTextResponse(f"{self._sign}{len(await image.body())}", status_code=203)


async def behind(scope, receive, send):
    """What the middleware wraps."""
    await PlainTextResponse("from behind")(scope, receive, send)


@pytest.fixture
def routes():
    return RouteTable()


async def ask(routes: RouteTable, method: str, path: str) -> tuple[int, str]:
    transport = httpx.ASGITransport(DirectRoutes(behind, routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        answer = await client.request(method, path, content=b"12345")
    return answer.status_code, answer.text


async def test_the_method_of_the_path_answers(routes):
    """The instance's own method gets the request with its body unread, and its answer is sent."""
    routes.methods = api_methods(Weighing, Weighing.inner("<"))
    assert await ask(routes, "POST", "/weight") == (203, "<5")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/weight"), ("POST", "/weigh"), ("POST", "/weight/"), ("POST", "/livez")],
)
async def test_everything_else_goes_on(routes, method, path):
    """Another method, and a path that is no API's, are left to what is behind."""
    routes.methods = api_methods(Weighing, Weighing.inner("<"))
    assert await ask(routes, method, path) == (200, "from behind")


async def test_without_methods_everything_goes_on(routes):
    """A service that cannot answer yet leaves it to what is behind to say so."""
    assert await ask(routes, "POST", "/weight") == (200, "from behind")
