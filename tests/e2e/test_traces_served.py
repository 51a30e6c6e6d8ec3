"""OpenTelemetry traces, sent where the framework's configuration says."""

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from served import serving


@pytest.fixture
def collector():
    """A collector of traces; yields its address and the spans that it has received."""
    spans = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            got = ExportTraceServiceRequest.FromString(body)
            spans.extend(s for r in got.resource_spans for t in r.scope_spans for s in t.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
    server.shutdown()
    server.server_close()


CONFIGURATION = """
services:
  cxr-pneumonia:
    tracing:
      exporter_type: otlp
      sample_rate: 1.0
      otlp: {{protocol: http, endpoint: "{endpoint}"}}
"""


def test_a_prediction_is_traced_where_that_is_configured(
    demo_bundle, phantom_png, collector, tmp_path
):
    """The request's span has the stages of the prediction in it, and names no file."""
    endpoint, spans = collector
    configuration = tmp_path / "bentoml.yaml"
    configuration.write_text(CONFIGURATION.format(endpoint=endpoint))
    with serving(demo_bundle, tmp_path, BENTOML_CONFIG=str(configuration)) as served:
        image = ("jane-doe.png", phantom_png(1))
        answer = httpx.post(f"{served.url}/predict", files={"image": image}, timeout=60)
        assert answer.status_code == 200
        deadline = time.monotonic() + 20
        while not (stages := [s for s in spans if s.name == "inference"]):
            assert time.monotonic() < deadline, [span.name for span in spans]
            time.sleep(0.1)
    (stage,) = stages
    request = {span.span_id: span for span in spans}[stage.parent_span_id]
    assert request.name == "POST /predict"
    inside = {span.name for span in spans if span.parent_span_id == request.span_id}
    assert {"decode", "queue", "inference"} <= inside
    assert "jane-doe" not in str(spans)
