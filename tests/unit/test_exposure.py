"""How bright an image is and how much contrast it has, and what is not scored for want of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pydicom.data import get_testdata_file

import service
from bench.exposure import ALTERATIONS, codes
from bench.files import chest, raster, stored
from service.cli import cxr
from service.errors import Unprocessable
from service.network.answer import DEMO_WARNING
from service.network.predictor import open_predictor
from service.radiograph.border import Border
from service.radiograph.decode import decode
from service.radiograph.exposure import Exposure, measure, require_contrast
from service.radiograph.framing import frame
from service.radiograph.radiograph import Radiograph, Source
from service.radiograph.rectangle import Margins, Rectangle
from service.settings import read_settings

SAMPLES = sorted((Path(service.__file__).parent / "page" / "samples").iterdir())


def radiograph(pixels, white=255.0, reduction=1):
    rows, columns = pixels.shape
    source = Source("PNG", 8, columns * reduction, rows * reduction, "full range of 8 bits")
    return Radiograph(pixels, white, source, (), reduction)


def whole(pixels, **more):
    made = radiograph(pixels, **more)
    return measure(made, Rectangle(0, 0, made.source.width, made.source.height))


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
    assert measure(made, Rectangle(200, 0, 600, 400)).mean == 0.4


CHEST = stored(chest(2, 240, 300), 12)
BLANK = {
    "black": (np.zeros((240, 300), np.uint8), "too_dark", 0.0, 0.0),
    "grey": (np.full((240, 300), 128, np.uint8), "flat", 0.502, 0.502),
    "white": (np.full((240, 300), 255, np.uint8), "too_bright", 1.0, 1.0),
    "12 bits in a range of 16": (CHEST, "too_dark", 0.004, 0.063),
    "a tenth as bright": ((CHEST / 160.6).astype(np.uint8), "too_dark", 0.0, 0.098),
    "noise of 10 levels": (
        np.random.default_rng(0).integers(120, 130, (240, 300), np.uint8),
        "flat",
        0.471,
        0.506,
    ),
    "a few bright pixels": (
        np.pad(np.full((5, 5), 255, np.uint8), ((130, 105), (150, 145))),
        "border",
        0.0,
        0.0,
    ),
    "contrast outside the crop alone": (
        np.pad(np.full((100, 100), 90, np.uint8), ((0, 0), (30, 30)), constant_values=255),
        "flat",
        0.353,
        0.353,
    ),
}


@pytest.mark.parametrize(("pixels", "reason", "low", "high"), BLANK.values(), ids=list(BLANK))
def test_an_image_without_contrast_is_not_scored(pixels, reason, low, high):
    """What is flat, nearly black, nearly white or hardly more than a border where the network
    looks is refused, and the refusal has the reason and the percentiles."""
    with pytest.raises(Unprocessable, match=r"\. It was not scored\.$") as refusal:
        frame(decode(raster(pixels, "PNG")))
    assert refusal.value.code == "no_contrast"
    assert refusal.value.detail == {
        "reason": reason,
        "percentile_1": low,
        "percentile_99": high,
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
    (tmp_path / "archive" / "flat.png").write_bytes(raster(BLANK["grey"][0], "PNG"))
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
    path.write_bytes(raster(BLANK["black"][0], "PNG"))
    refusal = CliRunner().invoke(cxr, ["inspect", str(path)]).exception
    assert isinstance(refusal, Unprocessable)
    assert refusal.code == "no_contrast"


def exposure(low, high, white=0.0, border=None):
    return Exposure(mean=0.5, low=low, high=high, black=0.0, white=white, border=border)


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (exposure(0.0, 0.449), "too_dark", "too dark: 99 % of it is below 45 % of white"),
        (exposure(0.1, 0.2), "too_dark", "too dark: 99 % of it is below 45 % of white"),
        (exposure(0.451, 1.0), "too_bright", "too bright: 99 % of it is above 45 % of white"),
        (exposure(0.1, 1.0, white=0.21), "too_bright", "too bright: 21 % of it is white"),
        (exposure(0.3, 0.649), "low_contrast", "low contrast: 98 % of it lies within 35 % of"),
        (exposure(0.0, 0.45), None, None),
        (exposure(0.45, 1.0), None, None),
        (exposure(0.1, 1.0, white=0.2), None, None),
        (exposure(0.25, 0.6), None, None),
    ],
)
def test_where_a_reason_begins(found, code, words):
    """Each limit is exact; an image has one reason for its levels at the most, in a sentence."""
    if code is None:
        assert found.reasons == ()
        return
    (reason,) = found.reasons
    assert reason.code == code
    assert reason.sentence.startswith("The image ")
    assert words in reason.sentence


@pytest.mark.parametrize(
    ("shade", "share", "is_told"),
    [("black", 0.2, True), ("black", 0.199, False), ("white", 0.02, True), ("white", 0.019, False)],
)
def test_a_border_is_told_from_a_share_on(shade, share, is_told):
    """A black border is told from a fifth of the image on, a white one from a fiftieth, with its
    widths."""
    border = Border(Margins(10, 0, 12, 0), shade, share)
    codes = {reason.code: reason.sentence for reason in exposure(0.0, 1.0, border=border).reasons}
    assert list(codes) == ["border"] * is_told
    if is_told:
        assert codes["border"] == (
            f"The image has a {shade} border: 10 pixels at the left and 12 pixels at the right, "
            f"{100 * share:.0f} % of what the network sees."
        )


def test_levels_are_those_inside_the_border():
    """A dark radiograph in a white border is too dark all the same."""
    pixels = np.full((200, 200), 255, np.uint8)
    pixels[20:180, 20:180] = stored(chest(4, 160, 160), 8) // 4
    framed = frame(radiograph(pixels))
    assert [reason.code for reason in framed.reasons] == ["too_dark", "border"]
    assert framed.exposure.high < 0.25
    assert framed.exposure.border == Border(Margins(20, 20, 20, 20), "white", pytest.approx(0.36))


def test_a_border_that_the_crop_leaves_out_is_no_reason():
    """Bars beside the network's square are told as unseen, not as a border."""
    pixels = np.pad(stored(chest(4, 200, 200), 8), ((0, 0), (50, 50)))
    framed = frame(radiograph(pixels))
    assert framed.reasons == ()
    assert framed.warnings == (
        "The network did not see 50 pixels at the left and 50 pixels at the right (33 % of the "
        "image).",
    )


def test_a_prediction_warns_of_the_exposure_and_of_what_was_not_seen(demo_bundle):
    """The sentences of the reasons stand in a prediction's warnings, and the prepared image has
    their codes."""
    pixels = stored(chest(4, 300, 224), 8) // 4
    predictor = open_predictor(read_settings(bundle=str(demo_bundle), gate="off"))
    prepared = predictor.prepare(raster(pixels, "PNG"))
    assert [reason.code for reason in prepared.reasons] == ["too_dark"]
    answer = predictor.predict(raster(pixels, "PNG"))
    assert answer.warnings == [
        DEMO_WARNING,
        "The image is too dark: 99 % of it is below 45 % of white.",
        "The network did not see 38 pixels at the top and 38 pixels at the bottom (25 % of the "
        "image).",
    ]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_the_phantoms_of_the_page_are_usual(path):
    """Nothing is unusual about the exposure of the drawn radiographs that the page offers."""
    assert frame(decode(path.read_bytes())).reasons == ()


@pytest.mark.parametrize("voi", [True, False], ids=["window", "full range"])
def test_a_real_dicom_radiograph_has_contrast(voi):
    """The chest radiograph of pydicom-data is scored, with its window and without."""
    data = Path(get_testdata_file("RG1_UNCR.dcm")).read_bytes()
    framed = frame(decode(data, voi=voi))
    assert framed.exposure.span > 0.6
    assert framed.reasons == ()


@pytest.fixture(scope="module")
def real(radiographs):
    """Every real radiograph of children, as decoded."""
    files = [f for name in ("calibration", "dev") for f in sorted((radiographs / name).glob("*/*"))]
    return [decode(file.read_bytes()) for file in files]


def test_nothing_is_unusual_about_real_radiographs(real):
    """Of 320 real radiographs none is refused and at most 1 in 100 has a reason."""
    flagged = [frame(radiograph).reasons != () for radiograph in real]
    assert len(flagged) == 320
    assert sum(flagged) <= 3


@pytest.mark.parametrize("name", ["25 % as bright", "low contrast", "black border", "white border"])
def test_altered_radiographs_are_told(real, name):
    """Of the same radiographs, altered, at least 95 in 100 have the reason of the alteration."""
    alteration = ALTERATIONS[name]
    told = [alteration.code in codes(alteration(radiograph)) for radiograph in real]
    assert sum(told) >= 0.95 * len(told)


@pytest.mark.parametrize("name", ["10 % as bright", "flat"])
def test_blank_radiographs_are_refused(real, name):
    """A radiograph a tenth as bright and plain grey are never scored."""
    alteration = ALTERATIONS[name]
    for radiograph in real:
        with pytest.raises(Unprocessable) as refusal:
            frame(alteration(radiograph))
        assert refusal.value.code == "no_contrast"
