"""The served process over real HTTP."""

import hashlib
import io
import json
import os
import re
import sys

import numpy as np
import psutil
import pytest
from PIL import Image

from service.network.bundle import open_bundle
from service.network.predictor import open_predictor
from service.radiograph.decode import decode
from service.radiograph.preprocess import preprocess
from service.settings import read_settings


def upload(data: bytes, name: str = "image.png") -> dict:
    return {"image": (name, data)}


def test_predict_answers_the_contract(client, demo_bundle, phantom_png):
    """/predict answers every field of the contract, with the values of the command line."""
    data = phantom_png(5, opacity=True, size=300)
    answer = client.post("/predict", files=upload(data)).raise_for_status().json()
    manifest = open_bundle(demo_bundle).manifest
    assert answer["model"] == {
        "name": "demo",
        "version": manifest.version,
        "weights": "demo",
        "weights_sha256": manifest.weights.sha256,
        "runtime": manifest.variant().runtime,
        "precision": manifest.variant().precision,
        "demo": True,
    }
    pixels = preprocess(decode(data)).pixels
    assert answer["image"] == {
        "width": 300,
        "height": 300,
        "format": "PNG",
        "bits": 8,
        "intensity": "full range of 8 bits",
        "photometric_interpretation": "grey",
        "transfer_syntax": None,
        "view": None,
        "crop": {"left": 0, "top": 0, "side": 300, "framing": "crop", "border": None},
        "sha256_pixels": hashlib.sha256(pixels.astype("<f4").tobytes()).hexdigest(),
    }
    assert answer["finding"] == "Pneumonia"
    assert answer["positive"] is (answer["score"] > 0.5)
    assert answer["pathologies"] == {
        "Pneumonia": {key: answer[key] for key in ("score", "probability", "positive")}
        | {"site": None}
    }
    assert any("Not for clinical use" in warning for warning in answer["warnings"])
    alone = open_predictor(read_settings(bundle=str(demo_bundle))).predict(data)
    assert json.loads(alone.model_dump_json()) == answer


@pytest.mark.parametrize("path", ["/predict", "/preview"])
def test_the_file_itself_is_answered_like_a_form(client, phantom_png, path):
    """A body that is the file gets the very answer that the file in a form gets."""
    data = phantom_png(5, size=300)
    in_a_form = client.post(path, files=upload(data)).raise_for_status()
    alone = client.post(path, content=data, headers={"content-type": "image/png"})
    assert (alone.status_code, alone.content) == (200, in_a_form.content)


@pytest.mark.parametrize(("opacity", "positive"), [(True, True), (False, False)])
def test_an_opacity_is_found(client, phantom_png, opacity, positive):
    """A phantom with an opacity is positive for pneumonia, one without is not."""
    answer = client.post("/predict", files=upload(phantom_png(11, opacity=opacity))).json()
    assert answer["positive"] is positive


def test_eight_and_sixteen_bits_score_alike(client, phantom_png):
    """The depth of the file does not change what is seen: 8 and 16 bits agree to 0.01."""
    scores = [
        client.post("/predict", files=upload(phantom_png(11, bits=bits))).json() for bits in (8, 16)
    ]
    assert [answer["image"]["bits"] for answer in scores] == [8, 16]
    assert scores[0]["score"] == pytest.approx(scores[1]["score"], abs=0.01)


def test_gradcam_is_a_picture_with_a_caption(client, phantom_png):
    """/gradcam answers an RGB PNG: the radiograph in its own size, coloured where the score came
    from, and beneath it what is shown."""
    answer = client.post("/gradcam", files=upload(phantom_png(11, size=320)))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.mode, picture.width) == ("RGB", 320)
    assert picture.height > 320
    pixels = np.asarray(picture)[:320].astype(int)
    assert (pixels.max(axis=2) - pixels.min(axis=2)).max() > 50


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's way")
def test_what_answers_predictions_waits_its_turn(served):
    """The event loop of predictions breaks into no run of the network; other processes may."""
    processes = psutil.Process(served.process.pid).children(recursive=True)
    policies = [os.sched_getscheduler(process.pid) for process in processes]
    assert policies.count(os.SCHED_BATCH) == 1


BAD = {
    "a text file": ("/predict", {"files": {"image": b"hello, world"}}, 415, "not_an_image"),
    "an empty file": ("/predict", {"files": {"image": b""}}, 400, "nothing_sent"),
    "no body": ("/predict", {}, 400, "nothing_sent"),
    "an address for a file": (
        "/predict",
        {"files": {"image": (None, "http://127.0.0.1:9/x.png")}},
        400,
        "text_for_file",
    ),
    "JSON": ("/predict", {"json": {"image": "x"}}, 400, "not_multipart"),
    "another field": ("/predict", {"files": {"picture": b"x"}}, 400, "malformed_request"),
    "two files": (
        "/predict",
        {"files": [("image", b"x"), ("image", b"y")]},
        400,
        "malformed_request",
    ),
    "no boundary": (
        "/predict",
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
        400,
        "malformed_request",
    ),
    "a file that is no image": (
        "/predict",
        {"content": b"hello", "headers": {"content-type": "application/octet-stream"}},
        415,
        "not_an_image",
    ),
    "a file itself to explain": (
        "/gradcam",
        {"content": b"x", "headers": {"content-type": "image/png"}},
        400,
        "not_multipart",
    ),
    "pickle": (
        "/predict",
        {"content": b"x", "headers": {"content-type": "application/vnd.bentoml+pickle"}},
        415,
        "unsupported_media_type",
    ),
    "a text file to explain": ("/gradcam", {"files": {"image": b"hello"}}, 415, "not_an_image"),
    "nothing to explain": ("/gradcam", {}, 400, "nothing_sent"),
}


@pytest.mark.parametrize(("path", "request_", "status", "code"), BAD.values(), ids=list(BAD))
def test_a_bad_request_is_refused_with_its_own_status(client, path, request_, status, code):
    """Each kind of bad request has its status and its code, in the one error shape."""
    answer = client.post(path, **request_)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == code
    assert set(error) == {"code", "message", "detail"}
    assert error["message"].endswith(".")


@pytest.mark.parametrize("path", ["/predict", "/gradcam"])
def test_a_truncated_image_is_refused(client, path, phantom_png):
    """A file that ends early is the sender's fault: 400, never a score."""
    data = phantom_png(11)
    answer = client.post(path, files=upload(data[: len(data) // 2]))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "truncated_image"


def test_an_unknown_target_is_refused_with_those_that_are_known(client, phantom_png):
    """A finding that the weights do not name cannot be explained: 422, with those they name."""
    answer = client.post("/gradcam", files=upload(phantom_png(1)), data={"target": "Hernia"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["detail"]) == ("unknown_target", {"known": ["Pneumonia"]})


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/predict", 405, "method_not_allowed"),
        ("DELETE", "/predict", 405, "method_not_allowed"),
    ],
)
def test_the_routers_errors_have_the_one_shape(client, method, path, status, code):
    """Unknown paths and methods are answered in the same JSON as everything else."""
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize("path", ["/predict", "/gradcam"])
def test_a_body_over_the_limit_is_refused(client, path):
    """More than CXR_MAX_BYTES is 413, whether the length was declared or not."""
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'

    def chunks():
        yield head
        for _ in range(65):
            yield bytes(1 << 20)

    kind = {"content-type": "multipart/form-data; boundary=b"}
    declared = client.post(path, content=head + bytes(65 << 20), headers=kind)
    chunked = client.post(path, content=chunks(), headers=kind)
    for answer in (declared, chunked):
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"


def test_probes_metrics_and_openapi(client):
    """Liveness, readiness, metrics and the OpenAPI document are where operators look for them."""
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    assert re.search(r"^# TYPE \w+ histogram$", client.get("/metrics").text, re.MULTILINE)
    paths = client.get("/docs.json").json()["paths"]
    assert {"/predict", "/gradcam"} <= set(paths)


def test_nothing_of_the_request_is_logged(served, client, phantom_png):
    """Neither a file's name nor its content reaches the log, good file or bad."""
    for data in (phantom_png(1), b"SECRET CONTENT"):
        client.post("/predict", files=upload(data, name="DOE^JANE.png"))
    log = served.log.read_text()
    assert "DOE" not in log
    assert "SECRET" not in log
