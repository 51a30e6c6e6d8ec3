"""The internals of BentoML that the service touches."""

import bentoml
import pytest
import yaml
from starlette.requests import Request

from service.http import framework
from service.http.framework import (
    NoTimeout,
    UnreadForm,
    api_methods,
    cors_options,
    local_address,
    tracing_options,
)


def test_the_version_is_the_one_that_was_read():
    """An upgrade of BentoML has to be read again before this module may be trusted with it."""
    assert bentoml.__version__ == framework.READ_FROM


class WeightForm(UnreadForm):
    """A form of one field."""

    weight: int


async def test_a_form_holds_the_request_unread():
    """Each field of an unread form is the request itself; nothing was received for it."""

    async def receive():
        raise AssertionError("the body was read")

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    form = await WeightForm.from_http_request(request, None)
    assert form.weight is request


def test_api_methods_are_bound_to_the_instance_by_their_path():
    """A service's API methods are found by their routes and know their instance."""

    @bentoml.service
    class Scales:
        @bentoml.api(route="/weight", input_spec=WeightForm)
        async def weigh(self, weight: Request) -> int:
            return 1

    instance = Scales.inner()
    methods = api_methods(Scales, instance)
    assert list(methods) == ["/weight"]
    assert methods["/weight"].args == (instance,)


def test_a_service_that_was_not_started_has_no_address():
    """Without a dependency of this name in a process of its own there is no address."""
    assert local_address("explainer") is None


@pytest.mark.parametrize("variable", ["BENTOML_CONFIG", "BENTOML_CONFIG_OPTIONS"])
def test_spans_are_kept_where_tracing_may_be_configured(monkeypatch, variable):
    """Spans are excluded unless a variable that can configure an exporter is set."""
    assert tracing_options() == {"excluded_urls": [".*"]}
    monkeypatch.setenv(variable, "x")
    assert tracing_options() == {}


def test_cors_is_off_unless_it_is_configured():
    """BentoML's default configuration allows no other origin."""
    assert cors_options() is None


def test_the_time_limit_that_is_off_can_be_written_into_a_bento():
    """It counts as false, and in a bento's YAML it is the number that it is."""
    assert not NoTimeout(165.0)
    assert yaml.safe_dump({"timeout": NoTimeout(165.0)}) == "timeout: 165.0\n"
