"""A service with little memory for images: what fits is answered, the rest is refused by name."""

import httpx
import pytest
from served import serving

from bench.files import chest, raster, stored

BUDGET = 64 << 20
"""Of which any image takes 32 MiB, and each pixel one to twelve bytes."""


@pytest.fixture(scope="module")
def tight(demo_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tight")
    with (
        serving(demo_bundle, folder, CXR_DECODE_BYTES=str(BUDGET)) as running,
        httpx.Client(base_url=running.url, timeout=60) as client,
    ):
        yield client


def png(side: int) -> bytes:
    """A square radiograph of 16 bits."""
    return raster(stored(chest(1, side, side), 16), "PNG", compress_level=1)


@pytest.mark.parametrize("path", ["/predict", "/preview", "/gradcam", "/explain"])
def test_an_image_that_fits_is_answered(tight, path):
    """A megapixel of 16 bits has room for every use, also several times at once."""
    data = png(1000)
    assert tight.post(path, files={"image": data}).status_code == 200


@pytest.mark.parametrize(
    ("path", "side"),
    [("/predict", 3000), ("/preview", 3000), ("/explain", 3000), ("/gradcam", 2000)],
)
def test_an_image_that_never_fits_is_refused(tight, path, side):
    """413 with the limit's name; a picture of it takes more than a score."""
    answer = tight.post(path, files={"image": png(side)})
    assert answer.status_code == 413
    error = answer.json()["error"]
    assert error["code"] == "too_large"
    assert error["detail"] == {"limit": "decode_bytes", "allowed": BUDGET}


def test_what_is_too_large_to_draw_may_be_scored(tight):
    """Four megapixels of 16 bits are scored, though there is no room to draw on them."""
    data = png(2000)
    assert tight.post("/predict", files={"image": data}).status_code == 200


def test_images_of_a_batch_wait_for_each_other(tight):
    """Two at a time would not fit; all of them are answered."""
    data = png(2000)
    answer = tight.post("/predict_batch", files=[("images", ("a.png", data))] * 4)
    assert answer.status_code == 200
    assert answer.json()["failed"] == 0
