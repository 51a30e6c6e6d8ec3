"""Radiograph to the network's input."""

import numpy as np
import pytest
import torch

from export.checkpoints.upstream import library
from export.demo.phantom import make_phantom
from service.radiograph.preprocess import Geometry, preprocess
from service.radiograph.radiograph import Radiograph, Source


def radiograph(pixels: np.ndarray, white: float) -> Radiograph:
    rows, columns = pixels.shape
    return Radiograph(pixels, white, Source("PNG", 8, columns, rows, intensity="full range"))


def upstream(pixels: np.ndarray, white: float) -> np.ndarray:
    """The library's own way: normalise, centre crop, antialiased resize, back to [0, 1]."""
    scaled = library.utils.normalize(pixels, white)[None]
    cropped = torch.from_numpy(library.datasets.XRayCenterCrop()(scaled))[None]
    small = torch.nn.functional.interpolate(
        cropped, size=(224, 224), mode="bilinear", antialias=True
    )
    return (small.numpy()[0] / 1024 + 1) / 2


@pytest.mark.parametrize("shape", [(224, 224), (512, 400), (401, 777), (100, 180)], ids=str)
@pytest.mark.parametrize("white", [255, 65535], ids=["8 bits", "16 bits"])
def test_equals_the_librarys_pipeline(shape, white):
    """The network gets the pixels that TorchXRayVision's own pipeline would give it."""
    drawn = make_phantom(3, True, max(shape)).pixels[: shape[0], : shape[1]]
    pixels = (drawn * white + 0.5).astype(np.uint8 if white == 255 else np.uint16)
    ours = preprocess(radiograph(pixels, white)).pixels
    assert ours.shape == (1, 224, 224)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, upstream(pixels, white), atol=1 / 255)


@pytest.mark.parametrize(
    ("value", "expected"), [(0, 0.0), (51, 0.2), (255, 1.0)], ids=["black", "grey", "white"]
)
def test_a_plain_image_keeps_its_value(value, expected):
    """Grey levels are divided by white and by nothing else: pixels lie strictly in [0, 1]."""
    pixels = preprocess(radiograph(np.full((300, 260), value, np.uint8), 255.0)).pixels
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        (300, 200, (50, 0, 200)),
        (200, 301, (0, 50, 200)),
        (7, 4, (1, 0, 4)),
        (224, 224, (0, 0, 224)),
    ],
    ids=["landscape", "portrait", "odd", "square"],
)
def test_the_crop_is_the_librarys_centre_square(width, height, box):
    """The crop starts where XRayCenterCrop starts, odd sides included."""
    geometry = Geometry(width, height)
    assert (geometry.left, geometry.top, geometry.side) == box
    columns = np.broadcast_to(np.arange(width), (height, width))[None]
    theirs = library.datasets.XRayCenterCrop()(columns)
    assert theirs[0, 0, 0] == geometry.left
    assert theirs.shape[1:] == (geometry.side, geometry.side)


def test_the_digest_names_the_pixels():
    """The same pixels have the same digest, one changed grey level another."""
    pixels = np.full((224, 224), 100, np.uint8)
    first, again = (preprocess(radiograph(pixels, 255.0)).sha256 for _ in range(2))
    pixels[0, 0] += 1
    assert first == again
    assert preprocess(radiograph(pixels, 255.0)).sha256 != first
