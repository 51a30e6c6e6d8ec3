"""Spans of a prediction's stages."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.http.tracing import trace_stages
from service.serving.prediction_lane import Timings

TIMINGS = Timings(decode=0.25, queue=0.5, inference=1.0, batch_size=3)


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider


def test_stages_follow_each_other_inside_the_request(spans, provider):
    """Decode, queue and inference are children of the request's span, one after the other."""
    with provider.get_tracer("t").start_as_current_span("request") as request:
        trace_stages(TIMINGS, provider)
    stages = {span.name: span for span in spans.get_finished_spans() if span.name != "request"}
    assert list(stages) == ["inference", "queue", "decode"]
    for span in stages.values():
        assert span.parent.span_id == request.get_span_context().span_id
    assert stages["decode"].end_time == stages["queue"].start_time
    assert stages["queue"].end_time == stages["inference"].start_time
    lasted = {name: (span.end_time - span.start_time) / 1e9 for name, span in stages.items()}
    assert lasted == pytest.approx({"decode": 0.25, "queue": 0.5, "inference": 1.0})
    assert stages["inference"].attributes["batch_size"] == 3


def test_without_a_recording_request_nothing_is_made(spans, provider):
    """Where tracing is not configured a prediction makes no spans."""
    trace_stages(TIMINGS, provider)
    assert spans.get_finished_spans() == ()


def test_timings_are_answered_as_server_timing():
    """The Server-Timing header has each stage in milliseconds."""
    assert TIMINGS.as_server_timing() == (
        "decode;dur=250.00, queue;dur=500.00, inference;dur=1000.00"
    )
