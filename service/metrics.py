"""What Prometheus is told. Every label has a bounded set of values.

Metrics of all processes meet in one /metrics where the framework sets up a shared folder.
"""

from __future__ import annotations

import os

from prometheus_client import Counter, Gauge, Histogram, values

if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    # By itself the library asks the kernel which process this is with every number that changes,
    # twenty times a prediction. None of ours goes on as another process: each is a program started
    # anew.
    _PROCESS = os.getpid()
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: _PROCESS)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REQUEST_SECONDS = Histogram(
    "cxr_request_seconds",
    "From the first byte of a request to the last of its answer.",
    ["service", "path", "outcome"],
    buckets=_SECONDS,
)
DECODE_SECONDS = Histogram(
    "cxr_decode_seconds",
    "From a file's bytes to the network's input, by outcome: ok or an error's code.",
    ["outcome"],
    buckets=_SECONDS,
)
QUEUE_SECONDS = Histogram(
    "cxr_queue_seconds",
    "Waiting, for a decoder and then for the network.",
    ["lane"],
    buckets=_SECONDS,
)
INFERENCE_SECONDS = Histogram(
    "cxr_inference_seconds", "How long a batch ran.", ["lane"], buckets=_SECONDS
)
BATCH_SIZE = Histogram(
    "cxr_batch_size", "Images of a batch, counted once an image.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
QUEUE_DEPTH = Gauge("cxr_queue_depth", "Images that wait.", ["lane"], multiprocess_mode="livesum")
IN_FLIGHT = Gauge(
    "cxr_in_flight",
    "Requests that are worked on.",
    ["service", "path"],
    multiprocess_mode="livesum",
)
API_KEYS_STALE = Gauge(
    "cxr_api_keys_stale",
    "1 while the file of API keys cannot be used and the keys read before stay good.",
    multiprocess_mode="livemax",
)
REJECTIONS = Counter(
    "cxr_rejections", "Requests turned away, by the error's code.", ["service", "code"]
)
INPUT_VERDICTS = Counter(
    "cxr_input_verdicts",
    "Images by how unusual they are: usual, unusual, refused, unknown.",
    ["verdict"],
)
INPUT_DISTANCE = Histogram(
    "cxr_input_distance",
    "Distance of images from the reference radiographs; 1 is their median.",
    buckets=(0.7, 0.85, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0),
)
PROTOCOL_IMAGES = Counter(
    "cxr_protocol_images",
    "Images asked for by the Open Inference Protocol: json, binary or grpc; ok or an error's code.",
    ["protocol", "model", "outcome"],
)
DECISIONS = Counter(
    "cxr_decisions",
    "Decisions by finding: a share that drifts is a population or a scanner that changed.",
    ["finding", "positive"],
)
MONITORING_ROWS = Counter(
    "cxr_monitoring_rows",
    "Rows of the log of numbers: written, or dropped where they came faster or could not be.",
    ["outcome"],
)
SHADOW_IMAGES = Counter(
    "cxr_shadow_images",
    "Images that the shadow was to score: scored, dropped where there was no room, failed.",
    ["outcome"],
)
SITE_DECISIONS = Counter(
    "cxr_site_decisions",
    "Decisions by the site file: positive, negative, uncertain.",
    ["finding", "decision"],
)
