"""How bright an image is and how much contrast it has, and what is not scored for want of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pydicom.data import get_testdata_file

from bench.files import chest, raster, stored
from service.cli import cxr
from service.errors import Unprocessable
from service.radiograph.decode import decode
from service.radiograph.exposure import Exposure, measure, require_contrast
from service.radiograph.framing import frame
from service.radiograph.preprocess import preprocess
from service.radiograph.radiograph import Radiograph, Source


def radiograph(pixels, white=255.0, reduction=1):
    rows, columns = pixels.shape
    source = Source("PNG", 8, columns * reduction, rows * reduction, "full range of 8 bits")
    return Radiograph(pixels, white, source, (), reduction)


def whole(pixels, **more):
    made = radiograph(pixels, **more)
    return measure(made, (0, 0, made.source.width, made.source.height))


def test_levels_are_those_of_the_histogram():
    """Of 100 x 100 pixels, 4 % black, 90 % at level 51 and 6 % white, the percentiles, the mean
    and the shares are exact."""
    pixels = np.full((100, 100), 51, np.uint8)
    pixels[:4], pixels[94:] = 0, 255
    assert whole(pixels) == Exposure(
        mean=pytest.approx(0.9 * 0.2 + 0.06), low=0.0, high=1.0, black=0.04, white=0.06
    )
    pixels[:4, 24:] = 51
    pixels[94:, 15:] = 51
    assert whole(pixels) == Exposure(
        mean=pytest.approx((9814 * 0.2 + 90) / 10_000), low=0.2, high=0.2, black=0.0096, white=0.009
    )


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 200), (np.uint16, 4095)])
def test_levels_are_shares_of_white(dtype, white):
    """Grey values count as shares of the radiograph's own white, in steps of 1/255."""
    pixels = np.full((64, 64), white, dtype)
    pixels[:32] = white // 5
    found = whole(pixels, white=float(white))
    assert (found.low, found.high, found.span) == (0.2, 1.0, 0.8)
    assert found.mean == pytest.approx(0.6)


@pytest.mark.parametrize("size", [(2048, 2048), (3001, 2000)])
def test_a_sample_stands_for_a_large_image(size):
    """Percentiles of a sample of a large radiograph lie within 1/100 of those of all pixels."""
    pixels = stored(chest(3, *size), 12)
    found = whole(pixels, white=4095.0)
    expected = np.percentile(pixels / 4095, (1, 99))
    np.testing.assert_allclose((found.low, found.high), expected, atol=0.01)


def test_a_reduced_radiograph_is_measured_where_its_source_is():
    """The part to measure is counted in source pixels, also where decoding reduced them."""
    pixels = np.zeros((100, 200), np.uint8)
    pixels[:, 50:150] = 102
    made = radiograph(pixels, reduction=4)
    assert measure(made, (200, 0, 600, 400)).mean == 0.4


FLAT = {
    "black": np.zeros((240, 300), np.uint8),
    "grey": np.full((240, 300), 128, np.uint8),
    "white": np.full((240, 300), 255, np.uint8),
    "12 bits in a range of 16": stored(chest(2, 240, 300), 12).astype(np.uint16),
    "a tenth as bright": (stored(chest(2, 240, 300), 8) * 0.1).astype(np.uint8),
    "noise of 10 levels": np.random.default_rng(0).integers(120, 130, (240, 300), np.uint8),
    "a few bright pixels": np.pad(np.full((5, 5), 255, np.uint8), ((230, 5), (290, 5))),
    "contrast outside the crop alone": np.pad(
        np.full((100, 100), 90, np.uint8), ((0, 0), (30, 30)), constant_values=255
    ),
}


@pytest.mark.parametrize("pixels", FLAT.values(), ids=list(FLAT))
def test_an_image_without_contrast_is_not_scored(pixels):
    """What is flat, nearly black or nearly white where the network looks is refused, and the
    refusal has the percentiles."""
    made = decode(raster(pixels, "PNG"))
    with pytest.raises(Unprocessable, match="it was not scored") as refusal:
        frame(made)
    assert refusal.value.code == "no_contrast"
    seen = preprocess(made).geometry.seen
    found = measure(made, seen)
    assert refusal.value.detail == {
        "percentile_1": round(found.low, 3),
        "percentile_99": round(found.high, 3),
    }


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.0, 0.124, "nearly black: 99 % of it is below 12.5 % of white"),
        (0.876, 1.0, "nearly white: 99 % of it is above 87.5 % of white"),
        (0.5, 0.549, "one plain grey: 98 % of it lies within 5 % of white"),
        (0.0, 0.125, None),
        (0.875, 1.0, None),
        (0.5, 0.55, None),
    ],
)
def test_where_contrast_ends(low, high, words):
    """The limits are exact and the message says which one was passed."""
    found = Exposure(mean=0.5, low=low, high=high, black=0.0, white=0.0)
    if words is None:
        require_contrast(found)
        return
    with pytest.raises(Unprocessable, match=words):
        require_contrast(found)


def test_a_flat_file_is_a_refused_row_of_an_archive(demo_bundle, tmp_path):
    """`cxr score` has a row without a score for a flat image, and scores its neighbour."""
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "chest.png").write_bytes(raster(stored(chest(1, 96, 96), 8), "PNG"))
    (tmp_path / "archive" / "flat.png").write_bytes(raster(FLAT["grey"], "PNG"))
    out = tmp_path / "rows.jsonl"
    arguments = ["score", tmp_path / "archive", "--out", out, "--bundle", demo_bundle]
    assert CliRunner().invoke(cxr, [str(word) for word in arguments]).exit_code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["status"], row["Pneumonia_score"] is None) for row in rows] == [
        ("ok", False),
        ("no_contrast", True),
    ]


def test_inspect_says_how_a_file_is_exposed(tmp_path):
    """`cxr inspect` shows the levels that were measured, and refuses a flat file as a prediction
    does."""
    path = tmp_path / "radiograph.png"
    pixels = np.full((100, 100), 51, np.uint8)
    pixels[:50] = 204
    path.write_bytes(raster(pixels, "PNG"))
    seen = json.loads(CliRunner().invoke(cxr, ["inspect", str(path), "--json"]).stdout)
    assert seen["exposure"] == {"mean": 0.5, "low": 0.2, "high": 0.8, "black": 0.0, "white": 0.0}
    path.write_bytes(raster(FLAT["black"], "PNG"))
    refusal = CliRunner().invoke(cxr, ["inspect", str(path)]).exception
    assert isinstance(refusal, Unprocessable)
    assert refusal.code == "no_contrast"


@pytest.mark.parametrize("voi", [True, False], ids=["window", "full range"])
def test_a_real_dicom_radiograph_has_contrast(voi):
    """The chest radiograph of pydicom-data is scored, with its window and without."""
    data = Path(get_testdata_file("RG1_UNCR.dcm")).read_bytes()
    assert frame(decode(data, voi=voi)).exposure.span > 0.6


def test_no_real_radiograph_is_refused(radiographs):
    """None of the 320 real radiographs of children is taken for an image without contrast."""
    files = [f for name in ("calibration", "dev") for f in (radiographs / name).glob("*/*")]
    spans = [frame(decode(file.read_bytes(), reduce=True)).exposure.span for file in files]
    assert len(spans) == 320
    assert min(spans) > 0.5
