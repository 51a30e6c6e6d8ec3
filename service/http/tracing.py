"""Spans of a prediction's stages, inside the request's own span, where tracing is configured.

BentoML opens the request's span and exports what is recorded (`tracing` in its configuration).
Where no exporter is configured that span records nothing, and neither does this.
"""

from __future__ import annotations

import time

from opentelemetry import trace

from service.http.framework import tracer_provider
from service.serving.prediction_lane import Timings

_NANOSECONDS = 1e9


def trace_stages(timings: Timings, provider: trace.TracerProvider | None = None) -> None:
    """Add the stages of a prediction that has just ended to the current span.

    Args:
        timings: How long each stage took.
        provider: Where spans come from; BentoML's own where left out.
    """
    request = trace.get_current_span()
    if not request.is_recording():
        return
    tracer = (provider or tracer_provider()).get_tracer("cxr")
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
