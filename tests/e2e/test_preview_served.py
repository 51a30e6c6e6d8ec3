"""/preview and /about.json of the served process."""

import io

import numpy as np
import pytest
from PIL import Image

from service.explain.cam.request import OFFERED
from service.http.page_files import FOLDER
from service.network.answer import DEMO_WARNING

HALF = (FOLDER / "samples" / "clear.png").read_bytes()[:20_000]


def test_a_preview_is_the_radiograph_in_eight_bits(client, phantom_png):
    """16 bits come back as the greys that are scored, in the image's own size."""
    data = phantom_png(5, size=300, bits=16)
    answer = client.post("/preview", files={"image": data})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(answer.content)))
    sent = np.asarray(Image.open(io.BytesIO(data))).astype(np.float32)
    assert (shown == np.rint(sent * np.float32(255 / 65535))).all()


@pytest.mark.parametrize(
    ("files", "status", "code"),
    [
        ({"image": b"hello, world"}, 415, "not_an_image"),
        ({"image": HALF}, 400, "truncated_image"),
        ({"image": b""}, 400, "nothing_sent"),
        ({"image": bytes(65 << 20)}, 413, "too_large"),
    ],
    ids=["a text", "cut off", "empty", "over the limit"],
)
def test_a_preview_is_refused_as_a_prediction_is(client, files, status, code):
    """/preview answers a bad file with the status and the code that /predict has for it."""
    for path in ("/preview", "/predict"):
        answer = client.post(path, files=files)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_about_says_what_answers(client, phantom_png):
    """/about.json names the model as predictions do, the maps on offer and the limit on bytes."""
    told = client.get("/about.json").json()
    assert told["model"] == client.post("/predict", files={"image": phantom_png(1)}).json()["model"]
    assert {one["method"]: tuple(one["layers"]) for one in told["methods"]} == OFFERED
    assert told["findings"] == ["Pneumonia"]
    assert told["max_bytes"] == 64 << 20
    assert told["notice"] == DEMO_WARNING


def test_the_new_paths_are_documented(client):
    """/preview and /about.json stand in the OpenAPI document, /preview with all its statuses."""
    paths = client.get("/docs.json").json()["paths"]
    assert set(paths["/preview"]["post"]["responses"]) == set(
        paths["/predict"]["post"]["responses"]
    )
    assert "image/png" in paths["/preview"]["post"]["responses"]["200"]["content"]
    assert "/about.json" in paths
