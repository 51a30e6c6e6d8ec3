"""An image that shows nothing has no score and no heat map, whoever is asked."""

import numpy as np
import pytest

from bench.files import raster

FLAT = raster(np.full((300, 240), 120, np.uint8), "PNG")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/predict", {}),
        ("/explain", {"method": "cam"}),
        ("/explain", {"method": "gradcam"}),
        ("/gradcam", {}),
    ],
    ids=str,
)
def test_a_flat_image_is_refused(client, path, fields):
    """Every path that would answer with a score or a map answers 422 and `no_contrast`."""
    answer = client.post(path, files={"image": FLAT}, data=fields)
    assert answer.status_code == 422
    assert answer.json()["error"] == {
        "code": "no_contrast",
        "message": "The image is one plain grey: 98 % of it lies within 5 % of white. It was not "
        "scored.",
        "detail": {"reason": "flat", "percentile_1": 0.471, "percentile_99": 0.471},
    }


def test_a_flat_image_of_a_batch_is_its_own_error(client, phantom_png):
    """In a batch, the flat image has the error and its neighbours their predictions."""
    files = [("images", (f"{n}.png", data)) for n, data in enumerate((phantom_png(1), FLAT))]
    first, second = client.post("/predict_batch", files=files).json()["answers"]
    assert first["error"] is None
    assert second["error"]["code"] == "no_contrast"


def test_a_flat_image_can_still_be_looked_at(client):
    """`/preview` shows what was refused."""
    answer = client.post("/preview", files={"image": FLAT})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
