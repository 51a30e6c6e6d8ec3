"""What surrounds an answer: headers, identifiers, logs, metrics, and what slow callers cost."""

import io
import json
import re
import socket
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}

ANSWERS = {
    "a prediction": ("POST", "/predict", True, 200),
    "a heat map": ("POST", "/gradcam", True, 200),
    "a refused prediction": ("POST", "/predict", False, 415),
    "a refused heat map": ("POST", "/gradcam", False, 415),
    "an unknown path": ("GET", "/nowhere", None, 404),
    "a wrong method": ("GET", "/predict", None, 405),
    "a probe": ("GET", "/readyz", None, 200),
    "metrics": ("GET", "/metrics", None, 200),
    "the document": ("GET", "/docs.json", None, 200),
}


@pytest.mark.parametrize(("method", "path", "good", "status"), ANSWERS.values(), ids=list(ANSWERS))
def test_every_answer_is_secured(client, phantom_png, method, path, good, status):
    """Each kind of answer has every security header once and tells nothing of the software."""
    data = phantom_png(1) if good else b"no image"
    files = None if good is None else {"image": data}
    answer = client.request(method, path, files=files)
    assert answer.status_code == status
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value]
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "server" not in answer.headers
    assert not [name for name in answer.headers if "bentoml" in name.lower()]


def test_other_origins_are_not_let_in(client):
    """Without being told to the service allows no other origin: no CORS header, no preflight."""
    answer = client.options(
        "/predict",
        headers={"origin": "https://a.example", "access-control-request-method": "POST"},
    )
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def logged(served, wanted: Callable[[dict], bool], count: int = 1) -> list[dict]:
    """All lines of standard error, every one JSON, once there are `count` that are wanted."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        whole, _, _ = served.log.read_text().rpartition("\n")
        log = [json.loads(line) for line in whole.split("\n")]
        if sum(map(wanted, log)) >= count:
            return log
        time.sleep(0.02)
    raise AssertionError("it was not logged")


def lines(served, request_id: str, count: int = 1) -> list[dict]:
    """The lines of log of one request, once there are as many as its services write."""

    def of_request(line: dict) -> bool:
        return line.get("request_id") == request_id and line["message"] == "request"

    return [line for line in logged(served, of_request, count) if of_request(line)]


def test_a_prediction_is_one_line_of_log(served, client, phantom_png):
    """The line has times, outcome and the digest of the pixels, and nothing of the file."""
    answer = client.post(
        "/predict",
        params={"patient": "DOE"},
        files={"image": ("DOE^JANE.png", phantom_png(1))},
        headers={"x-request-id": "e2e-predict"},
    )
    assert answer.headers["x-request-id"] == "e2e-predict"
    (line,) = lines(served, "e2e-predict")
    expected = {
        "level": "INFO",
        "message": "request",
        "service": "cxr-pneumonia",
        "method": "POST",
        "path": "/predict",
        "status": 200,
        "outcome": "ok",
        "batch_size": 1,
        "sha256_pixels": answer.json()["image"]["sha256_pixels"],
    }
    assert {name: line[name] for name in expected} == expected
    assert line["ms"] >= line["decode_ms"] + line["inference_ms"]
    assert line["queue_ms"] >= 0
    assert "DOE" not in json.dumps(line)


def test_a_heat_map_is_a_line_of_each_service(served, client):
    """The identifier goes along to the explainer, and both log the error's code."""
    headers = {"x-request-id": "e2e-gradcam"}
    assert client.post("/gradcam", files={"image": b"no"}, headers=headers).status_code == 415
    found = {line["service"]: line["outcome"] for line in lines(served, "e2e-gradcam", 2)}
    assert found == {"explainer": "not_an_image", "cxr-pneumonia": "not_an_image"}


def damaged_tiffs() -> dict[str, bytes]:
    """TIFF files on which Pillow warns and libtiff prints, none of which can be read."""
    values = np.random.default_rng(1).integers(0, 256, (300, 300), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "TIFF", compression="tiff_adobe_deflate")
    data = bytearray(buffer.getvalue())
    cut = bytes(data[:-60])
    data[40:400] = bytes(360)
    return {"damaged": bytes(data), "cut": cut}


def test_every_line_of_standard_error_is_json(served, client):
    """From the first line on all that is written is JSON, whatever is sent: a form that is garbage,
    and TIFF files on which Pillow warns and libtiff prints; and nothing of their names or content.
    """
    body = b"--b\r\nContent-Dispo\xffsition: x\r\n\r\nGARBAGE\r\n--b--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=b", "x-request-id": "e2e-garbage"}
    assert client.post("/predict", content=body, headers=kind).status_code == 400
    lines(served, "e2e-garbage")
    for path in ("/predict", "/gradcam"):
        for name, data in damaged_tiffs().items():
            request_id = f"e2e{path.replace('/', '-')}-{name}"
            answer = client.post(
                path,
                files={"image": (f"DOE^JANE-{name}.tif", data)},
                headers={"x-request-id": request_id},
            )
            assert answer.status_code == 400
            lines(served, request_id)

    def printed_by_libtiff(line: dict) -> bool:
        return line["logger"] == "cxr.stderr" and line["message"].startswith("ZIPDecode: ")

    log = logged(served, printed_by_libtiff, 2)  # one of each process
    warned = [line["place"] for line in log if line["logger"] == "cxr.warnings"]
    assert any("PIL/TiffImagePlugin.py" in place for place in warned)
    assert not [line for line in log if "DOE" in json.dumps(line) or "GARBAGE" in json.dumps(line)]


def test_unknown_paths_are_one_series(client):
    """However many paths a scanner tries, metrics grow by one series."""
    for number in range(5):
        client.get(f"/scan-{number}.php")
    text = client.get("/metrics").text
    assert "scan-" not in text
    assert re.search(r'^cxr_request_seconds_count\{[^}]*path="other"[^}]*\} \d', text, re.MULTILINE)


def test_what_is_sent_slowly_holds_nobody_up(served, client, phantom_png):
    """Bodies that stop coming, in any number, leave both lanes to everybody else."""
    port = int(served.url.rsplit(":", 1)[1])
    head = (
        "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b"
    )
    hanging = []
    try:
        for path in ["/predict"] * 200 + ["/gradcam"] * 20:
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(head.format(path).encode())
            hanging.append(connection)
        for path in ("/predict", "/gradcam"):
            assert client.post(path, files={"image": phantom_png(1)}).status_code == 200
    finally:
        for connection in hanging:
            connection.close()
