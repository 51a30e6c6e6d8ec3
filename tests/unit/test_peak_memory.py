"""What decoding an image takes is known from its header, and is never more than was claimed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pydicom import uid

from bench.files import ENCODERS, chest, deflate, dicom, raster, stored
from service.errors import TooLarge
from service.radiograph.decode import decode
from service.radiograph.limits import DecodeLimits
from service.radiograph.memory_budget import MemoryBudget

GREY = stored(chest(3, 300, 400), 8)
DEEP = stored(chest(3, 300, 400), 12)
KINDS = (
    "PNG, 16 bits",
    "PNG, RGBA",
    "TIFF, 16 bits, LZW",
    "WebP, RGB",
    "JPEG, YCbCr, progressive",
    "DICOM, 12 bits, overlay in the unused bits",
    "DICOM, JPEG 2000, 16 bits",
    "DICOM, RLE Lossless, 12 bits",
    "DICOM, deflated",
)


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, str], dict]:
    """Claimed and taken by the kind of a file and its use, at 9 megapixels."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process's peak")
    options = ["--rows=3000", "--columns=3000", "--json", *(f"--only={kind}" for kind in KINDS)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.decode_memory", *options], stdout=subprocess.PIPE, check=False
    )
    return {(peak["kind"], peak["use"]): peak for peak in json.loads(done.stdout)}


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_is_taken_than_was_claimed(measured, kind):
    """Scoring, showing, drawing and capturing noise of 9 megapixels stays within its claim."""
    found = [peak for (of, _), peak in measured.items() if of == kind]
    assert len(found) == (4 if kind.startswith("DICOM") else 3)
    over = {peak["use"]: peak for peak in found if peak["taken"] > peak["claimed"]}
    assert over == {}


HEADERS = {
    "PNG": raster(GREY, "PNG")[:200],
    "JPEG": raster(GREY, "JPEG")[:700],
    "TIFF": raster(GREY, "TIFF", compression="tiff_lzw"),
    "WebP": raster(GREY, "WEBP"),
    "JPEG 2000": raster(GREY, "JPEG2000")[:400],
    "DICOM": dicom(DEEP, 12),
    "DICOM, JPEG-LS": dicom(
        DEEP, 12, syntax=uid.JPEGLSLossless, frame=ENCODERS[uid.JPEGLSLossless](DEEP, 12)[:100]
    ),
    "DICOM, deflated": deflate(dicom(DEEP, 12)),
}


@pytest.mark.parametrize("file", HEADERS.values(), ids=list(HEADERS))
def test_an_image_is_weighed_before_it_is_decoded(file):
    """Where there is too little memory it is refused by its header, damaged though the rest is."""
    with MemoryBudget(1 << 20).claim() as claim, pytest.raises(TooLarge) as refused:
        decode(file, claim=claim)
    assert refused.value.detail == {"limit": "decode_bytes", "allowed": 1 << 20}


@pytest.mark.parametrize("file", HEADERS.values(), ids=list(HEADERS))
def test_a_limit_on_pixels_is_the_reason_where_it_is_exceeded(file):
    """Over both limits, the one that the caller can look up is named."""
    with MemoryBudget(1 << 20).claim() as claim, pytest.raises(TooLarge) as refused:
        decode(file, claim=claim, limits=DecodeLimits(pixels=300 * 400 - 1))
    assert refused.value.detail["limit"] == "pixels"


def test_a_reduced_jpeg_takes_less():
    """Decoded for the network, a large JPEG claims what its reduced pixels take."""
    data = raster(stored(chest(1, 2000, 2000), 8), "JPEG")
    taken = {}
    for reduce in (False, True):
        budget = MemoryBudget(1 << 40)
        with budget.claim() as claim:
            decode(data, reduce=reduce, claim=claim)
            taken[reduce] = budget.taken
    assert taken[False] - taken[True] == 3 * (2000**2 - 500**2)
