"""Spans of a prediction's stages, inside the request's own span, where tracing is configured.

BentoML opens the request's span and exports what is recorded (`tracing` in its configuration).
Where no exporter is configured that span records nothing, and neither does this.
"""

from __future__ import annotations

import os
import time
from typing import Any

from bentoml._internal.configuration.containers import BentoMLContainer
from opentelemetry import trace

from service.serving.prediction_lane import Timings

_CONFIGURED_BY = frozenset({"BENTOML_CONFIG", "BENTOML_CONFIG_OPTIONS", "BENTOML_CONFIG_OVERRIDES"})
"""Environment variables that change the framework's configuration."""

_NANOSECONDS = 1e9


def tracing_options() -> dict[str, Any]:
    """The framework's own configuration of tracing: no spans where nobody can have asked for any.

    It opens several for each request otherwise and throws them away, at a tenth of what turning a
    request away costs. An exporter can be configured only where the framework's configuration is
    touched; what is in there is read too late to be asked here, so whatever it is, it counts.
    """
    if _CONFIGURED_BY.isdisjoint(os.environ):
        return {"excluded_urls": [".*"]}
    return {}


def trace_stages(timings: Timings, provider: trace.TracerProvider | None = None) -> None:
    """Add the stages of a prediction that has just ended to the current span.

    Args:
        timings: How long each stage took.
        provider: Where spans come from; BentoML's own where left out.
    """
    request = trace.get_current_span()
    if not request.is_recording():
        return
    tracer = (provider or BentoMLContainer.tracer_provider.get()).get_tracer("cxr")
    end = time.time_ns()
    stages: tuple[tuple[str, float, dict[str, int]], ...] = (
        ("inference", timings.inference, {"batch_size": timings.batch_size}),
        ("queue", timings.queue, {}),
        ("decode", timings.decode, {}),
    )
    for name, seconds, attributes in stages:
        start = end - int(seconds * _NANOSECONDS)
        span = tracer.start_span(name, start_time=start, attributes=attributes)
        span.end(end)
        end = start
