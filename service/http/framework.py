"""The one module that touches BentoML's internals.

Everything here was read from the source of BentoML `READ_FROM`; `tests/unit/test_framework.py`
fails where another version no longer has it. Each function says what it buys.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import yaml
from _bentoml_sdk import IODescriptor
from _bentoml_sdk.io_models import IORootModel
from bentoml._internal.configuration.containers import BentoMLContainer
from opentelemetry.trace import TracerProvider
from starlette.requests import Request
from starlette.responses import Response

READ_FROM = "1.4.39"
"""Version of BentoML whose source this module was written from."""

ApiMethod = Callable[[Request], Awaitable[Response]]

_CONFIGURED_BY = frozenset({"BENTOML_CONFIG", "BENTOML_CONFIG_OPTIONS", "BENTOML_CONFIG_OVERRIDES"})
"""Environment variables that change the framework's configuration."""


class NoTimeout(float):
    """A value of the `traffic` option `timeout` that switches the framework's own time limit off.

    Its configuration demands a number above zero, and its application adds the middleware that
    holds it only where that number counts as true (`server/base_app.py`). The middleware keeps a
    timer of each request until the time is over, long after the answer, and runs the request in a
    task of its own: 800 bytes for minutes and 7 microseconds for each request, those that are
    turned away with 429 included.
    """

    def __bool__(self) -> bool:
        return False


# A bento's description, which is YAML, holds the options of its services.
yaml.SafeDumper.add_representer(
    NoTimeout, lambda dumper, value: dumper.represent_float(float(value))
)


class UnreadForm(IODescriptor):
    """Input of an API method: a form whose fields all hold the request itself, not read yet.

    Left to itself the framework writes uploads to disk, fetches addresses that are given in place
    of files, and answers malformed forms in a shape of its own. The fields exist for BentoML's own
    clients.
    """

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> IODescriptor:
        return cls.model_construct(**dict.fromkeys(cls.model_fields, request))


FileOutput = IORootModel
"""Output of an API method that answers a file; describes it to BentoML's own clients."""


def api_methods(service: Any, instance: object) -> Mapping[str, ApiMethod]:
    """The API methods of a BentoML service by their path, bound to an instance.

    Lets a middleware call them without the framework's router, which builds a context, injects
    dependencies and binds a signature for each request.

    Args:
        service: The service; each of its API methods takes an `UnreadForm` and returns a response.
        instance: An instance of the service's class.
    """
    return {method.route: partial(method.func, instance) for method in service.apis.values()}


def local_address(service: str) -> str | None:
    """Address of a service that runs beside this one in a process of its own.

    Plain HTTP to it needs no client of the framework, which sends pickles over a local socket.

    Args:
        service: Its name.

    Returns:
        A URL with the scheme unix or tcp; None where no such service was started.
    """
    address: str | None = BentoMLContainer.remote_runner_mapping.get().get(service)
    return address


def tracer_provider() -> TracerProvider:
    """Where spans are recorded so that they join the request's span, which the framework opens."""
    provider: TracerProvider = BentoMLContainer.tracer_provider.get()
    return provider


def tracing_options() -> dict[str, Any]:
    """The framework's `tracing` options: no spans where no exporter can have been configured.

    It opens several spans for each request otherwise and throws them away, at a tenth of the cost
    of answering 429. An exporter can be configured only by the variables of `_CONFIGURED_BY`; what
    they say is read too late to be asked here, so any of them keeps the spans.
    """
    if _CONFIGURED_BY.isdisjoint(os.environ):
        return {"excluded_urls": [".*"]}
    return {}


def cors_options() -> dict[str, Any] | None:
    """The `services.NAME.http.cors` options of BentoML's configuration; None where CORS is off.

    BentoML applies them behind a service's own middleware, where they reach neither the answers
    given in front of its router nor preflights. To be called when the service starts: the
    configuration is read after this module is imported.
    """
    if not BentoMLContainer.http.cors.enabled.get():
        return None
    options: dict[str, Any] = BentoMLContainer.access_control_options.get()
    return options
