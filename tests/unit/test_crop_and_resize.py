"""From a radiograph to the network's input."""

import numpy as np
import pytest
import torch

from bench.files import chest, raster, stored
from service.radiograph.decode import decode
from service.radiograph.preprocess import Geometry, preprocess
from service.radiograph.radiograph import Radiograph, Source
from service.radiograph.resample import resample


def radiograph(pixels, white=255.0, reduction=1, size=None):
    rows, columns = size or pixels.shape
    return Radiograph(pixels, white, Source("PNG", 8, columns, rows, "full"), (), reduction)


def library_resize(pixels):
    """The resize inside the library's networks (`fix_resolution` of TorchXRayVision)."""
    rows, columns = pixels.shape
    side = min(rows, columns)
    top, left = rows // 2 - side // 2, columns // 2 - side // 2
    crop = torch.from_numpy(pixels[top : top + side, left : left + side].astype(np.float32))
    return torch.nn.functional.interpolate(
        crop[None, None], size=(224, 224), mode="bilinear", antialias=True
    )[0, 0].numpy()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(40, 40), (224, 224), (225, 301), (640, 447), (1001, 1200)])
def test_input_is_the_library_s(size, dtype):
    """Crop and resize equal the library's to a thousandth of a grey level, up and down."""
    top = 255 if dtype == np.uint8 else 65535 if dtype == np.uint16 else 1
    pixels = (chest(9, *size) * top).astype(dtype)
    ours = preprocess(radiograph(pixels, float(top))).pixels
    assert (ours.shape, ours.dtype) == ((1, 224, 224), np.float32)
    assert np.abs(ours[0] - library_resize(pixels) / top).max() <= 1e-3 / 255


def test_input_of_the_native_size_is_untouched():
    """An image of 224 x 224 is the network's input, pixel for pixel."""
    pixels = stored(chest(2, 224, 224), 8)
    expected = pixels * np.float32(1 / 255)
    np.testing.assert_array_equal(preprocess(radiograph(pixels)).pixels[0], expected)


def test_pixels_outside_the_crop_have_no_say():
    """What lies outside the centred square does not reach the input."""
    pixels = stored(chest(2, 500, 300), 8)
    other = pixels.copy()
    other[:100] = 255
    other[400:] = 255
    same = preprocess(radiograph(other)).sha256
    assert preprocess(radiograph(pixels)).sha256 == same


def test_reduced_pixels_lie_where_the_source_does():
    """A reduced image whose last column is half empty is laid out on the source's pixels."""
    ramp = np.tile(np.arange(1001, dtype=np.float32), (1001, 1))
    padded = np.pad(ramp, ((0, 1), (0, 1)), mode="edge")
    small = padded.reshape(501, 2, 501, 2).mean(axis=(1, 3))
    full = preprocess(radiograph(ramp, 1000.0)).pixels
    reduced = preprocess(radiograph(small, 1000.0, 2, (1001, 1001))).pixels
    inner = slice(2, -2)
    assert np.abs(full - reduced)[0, inner, inner].max() <= 2e-4


def test_input_is_clipped_to_the_contract():
    """The network's input stays in [0, 1] even where a radiograph holds more than white."""
    found = preprocess(radiograph(np.full((64, 64), 300, np.uint16), 255.0)).pixels
    assert (found.min(), found.max()) == (1, 1)


def test_a_constant_image_stays_constant():
    """Weights add up to one at every place, borders included."""
    found = resample(np.full((333, 333), 200, np.uint8), (0, 0, 333), 224)
    np.testing.assert_allclose(found, 200, atol=1e-4)


@pytest.mark.parametrize(
    ("width", "height", "unseen"),
    [(300, 500, (0, 100, 0, 100)), (501, 300, (100, 0, 101, 0)), (300, 300, (0, 0, 0, 0))],
)
def test_cropped_margins_are_said(width, height, unseen):
    """The margins that the crop leaves out are known to the pixel, and their share."""
    geometry = Geometry(width, height)
    assert geometry.unseen == unseen
    seen = geometry.side**2
    assert geometry.unseen_share == pytest.approx(1 - seen / (width * height))


def test_boxes_go_back_to_the_source():
    """A box on the network's grid lies on the crop in source pixels."""
    geometry = Geometry(width=500, height=300)
    assert geometry.to_source((0, 0, 224, 224)) == (100, 0, 400, 300)
    assert geometry.to_source((112, 56, 168, 224)) == pytest.approx((250, 75, 325, 300))
    assert geometry.to_source((0, 0, 7, 7), side=7) == (100, 0, 400, 300)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(1200, 1001), (2003, 2003)])
def test_scaled_jpeg_decoding_stays_near(size, mode):
    """Scaled JPEG decoding changes no input pixel by more than 2 of 255 grey levels."""
    grey = stored(chest(6, *size), 8)
    data = raster(grey if mode == "L" else np.repeat(grey[..., None], 3, axis=2), "JPEG")
    made = decode(data, reduce=True)
    assert made.reduction > 1
    difference = preprocess(made).pixels - preprocess(decode(data)).pixels
    assert np.abs(difference).max() <= 2 / 255
