"""From stored values to grey levels."""

import numpy as np
import pydicom
import pytest
from pydicom import uid

from bench.files import dicom
from service.radiograph.decode import decode
from service.radiograph.dicom.voi_lut import GreyScale, Lut, Window, map_intensity

RAMP = np.resize(np.arange(4096), (64, 64)).astype(np.uint16)


def grey(values, bits=12, *, voi=True, syntax=uid.ExplicitVRLittleEndian, **attributes):
    """Grey levels in [0, 1] of a DICOM file with these stored values."""
    made = decode(dicom(values, bits, syntax=syntax, **attributes), voi=voi)
    assert made.pixels.min() >= 0
    assert made.pixels.max() <= made.white
    return (made.pixels / made.white).ravel(), made.source.intensity


@pytest.mark.parametrize(
    ("centre", "width", "function", "points"),
    [
        # C.11.2.1.2.1: (x - (c - 0.5)) / (w - 1) + 0.5
        (2048, 4096, "LINEAR", {0: 0, 4095: 1, 2048: 2048 / 4095}),
        (1000, 200, "LINEAR", {899: 0, 900: 0, 901: 1 / 199, 999: 99 / 199, 1099: 1, 2000: 1}),
        (1000, 201, "LINEAR", {899: 0, 900: 0.5 / 200, 1000: 100.5 / 200, 1100: 1}),
        (1000, 1, "LINEAR", {999: 0, 1000: 1}),
        # C.11.2.1.3.2: (x - c) / w + 0.5
        (1000, 200, "LINEAR_EXACT", {900: 0, 950: 0.25, 1000: 0.5, 1100: 1}),
        (1000, 0.5, "LINEAR_EXACT", {999: 0, 1000: 0.5, 1001: 1}),
        # C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c) / w))
        (1000, 200, "SIGMOID", {1000: 0.5, 1050: 1 / (1 + np.exp(-1)), 950: 1 / (1 + np.exp(1))}),
    ],
)
def test_windows_follow_the_standard(centre, width, function, points):
    """Each window function gives the values of its formula in PS3.3 C.11.2.1."""
    found, _ = grey(RAMP, WindowCenter=centre, WindowWidth=width, VOILUTFunction=function)
    for stored, expected in points.items():
        assert found[stored] == pytest.approx(expected, abs=1e-5), stored


def test_no_window_means_the_full_range():
    """Without a window the range of bits stored goes from black to white, as upstream has it."""
    found, words = grey(RAMP)
    np.testing.assert_allclose(found, RAMP.ravel() / 4095, atol=1e-7)
    assert words == "full range of 12 bits"


def test_the_first_window_counts():
    """Of several windows the first is applied, and the answer names it."""
    found, words = grey(RAMP, WindowCenter=[1000, 3000], WindowWidth=[200, 50])
    assert (found[899], found[1100]) == (0, 1)
    assert words == "VOI LUT window 1000/200"


def test_the_window_can_be_turned_off():
    """With the VOI LUT off the full range is taken and the answer says what was left out."""
    found, words = grey(RAMP, voi=False, WindowCenter=1000, WindowWidth=200)
    np.testing.assert_allclose(found, RAMP.ravel() / 4095, atol=1e-7)
    assert words == "full range of 12 bits, VOI LUT of the file not applied"


@pytest.mark.parametrize(
    "attributes",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ],
    ids=["MONOCHROME1", "inverse shape", "both"],
)
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1000.25, "WindowWidth": 333}])
def test_inversion_is_done_once(attributes, window):
    """MONOCHROME1, an inverse presentation LUT shape, or both, invert what is shown once."""
    plain, _ = grey(RAMP, **window)
    inverted, words = grey(RAMP, **window, **attributes)
    np.testing.assert_allclose(inverted, 1 - plain, atol=2e-5)
    assert words.endswith(", inverted")


def test_rescale_comes_before_the_window():
    """The window is in modality units: after slope and intercept."""
    found, _ = grey(
        RAMP, RescaleSlope="0.5", RescaleIntercept="-100", WindowCenter=400, WindowWidth=101
    )
    modality = RAMP.ravel() * 0.5 - 100
    np.testing.assert_allclose(found, np.clip((modality - 399.5) / 100 + 0.5, 0, 1), atol=1e-5)


def test_a_negative_slope_turns_the_range_round():
    """A negative slope makes high stored values dark."""
    found, _ = grey(RAMP, RescaleSlope="-1", RescaleIntercept="4095")
    np.testing.assert_allclose(found, 1 - RAMP.ravel() / 4095, atol=1e-7)


def test_signed_values_span_their_own_range():
    """Signed 12-bit values go from -2048, black, to 2047, white."""
    values = RAMP.astype(np.int16) - 2048
    found, _ = grey(values)
    np.testing.assert_allclose(found, RAMP.ravel() / 4095, atol=1e-7)
    found, _ = grey(values, WindowCenter=-1000, WindowWidth=200)
    assert (found[948], found[1147], found[4095]) == (0, 1, 1)


@pytest.mark.parametrize("window", [(-5000, 100), (9000, 100), (2048, 60000), (2048, 200000)])
def test_windows_beyond_what_is_stored(window):
    """A window outside or far around the stored range still follows its formula."""
    centre, width = window
    found, _ = grey(RAMP, WindowCenter=centre, WindowWidth=width)
    expected = np.clip((RAMP.ravel() - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black(photometric):
    """Padding is background: black, whatever value stands for it and however it is inverted."""
    values = RAMP.copy()
    values[0] = 4000
    found, _ = grey(
        values,
        PhotometricInterpretation=photometric,
        PixelPaddingValue=3990,
        PixelPaddingRangeLimit=4010,
    )
    assert (found[:64] == 0).all()
    here = (RAMP.ravel() >= 3990) & (RAMP.ravel() <= 4010)
    plain = RAMP.ravel() / 4095
    expected = np.where(here, 0, 1 - plain if photometric == "MONOCHROME1" else plain)
    np.testing.assert_allclose(found[64:], expected[64:], atol=1e-5)


def _sequence(entries, first, bits, vr="US"):
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", vr, [len(entries), first, bits])
    item.LUTData = np.asarray(entries, "<u2").tobytes()
    item["LUTData"].VR = "OW"
    return [item]


def test_a_voi_lut_is_looked_up():
    """A VOI LUT maps values to its entries; those outside it take its ends."""
    entries = np.arange(100) * 40
    found, words = grey(RAMP, VOILUTSequence=_sequence(entries, 1000, 12), WindowCenter=1)
    expected = entries[np.clip(RAMP.ravel().astype(int) - 1000, 0, 99)] / 4095
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert words == "VOI LUT"


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
@pytest.mark.parametrize(("vr", "first"), [("SS", -1024), ("US", 64512)])
def test_a_voi_lut_may_begin_below_zero(vr, first, syntax):
    """Where a rescale makes values negative, a first value mapped of -1024 is -1024 however it is
    written (PS3.3 C.11.2.1.1), and the table maps what DCMTK's dcmj2pnm maps with it."""
    found, _ = grey(
        RAMP,
        syntax=syntax,
        RescaleSlope="1",
        RescaleIntercept="-1024",
        VOILUTSequence=_sequence(np.arange(4096), first, 12, vr),
    )
    np.testing.assert_allclose(found, RAMP.ravel() / 4095, atol=1e-5)


def test_a_voi_lut_before_all_values_begins_where_it_is_written():
    """Without a rescale, a first value mapped of -1024 leaves the table's first 1024 entries
    unused, as in pydicom's apply_voi_lut."""
    found, _ = grey(RAMP, VOILUTSequence=_sequence(np.arange(4096), -1024, 12, "SS"))
    expected = np.minimum(RAMP.ravel() + 1024.0, 4095) / 4095
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_voi_lut_may_begin_above_32767():
    """A first value mapped of 40000 stays so where values of 16 bits reach it."""
    values = np.resize(np.arange(65536), (256, 256)).astype(np.uint16)
    found, _ = grey(values, 16, VOILUTSequence=_sequence(np.arange(4096), 40000, 12))
    expected = np.clip(values.ravel().astype(int) - 40000, 0, 4095) / 4095
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("peak", "declared", "white"),
    [(4095, 16, 4095), (2000, 16, 2047), (65535, 16, 65535), (255, 16, 255), (4095, 8, 4095)],
)
def test_the_bits_of_a_lut_are_those_of_its_entries(peak, declared, white):
    """A LUT whose entries are declared as 16 bits, or as fewer than they need, is white at the
    greatest value of the bits that its entries need, as in Cornerstone."""
    entries = np.arange(4096) * peak // 4095
    found, _ = grey(RAMP, VOILUTSequence=_sequence(entries, 0, declared))
    np.testing.assert_allclose(found, entries[RAMP.ravel()] / white, atol=1e-5)


def test_a_lut_that_uses_half_of_its_bits_is_half_as_bright():
    """A LUT of 12 bits whose entries end at 2000 of 4095 ends at 49 % of white, as in DCMTK."""
    entries = np.arange(4096) * 2000 // 4095
    found, _ = grey(RAMP, VOILUTSequence=_sequence(entries, 0, 12))
    np.testing.assert_allclose(found, entries[RAMP.ravel()] / 4095, atol=1e-5)


def test_a_modality_lut_comes_first():
    """A modality LUT takes the place of the rescale, and the window works on its entries."""
    entries = np.arange(4096)[::-1] // 2
    found, _ = grey(
        RAMP, ModalityLUTSequence=_sequence(entries, 0, 12), WindowCenter=1000, WindowWidth=501
    )
    expected = np.clip((entries - 999.5) / 500 + 0.5, 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_8_bit_image_keeps_its_window_in_16_bits():
    """A window over 8 bits loses no grey levels to rounding at 8 bits."""
    values = np.resize(np.arange(256), (32, 32)).astype(np.uint8)
    found, _ = grey(values, 8, WindowCenter=100.3, WindowWidth=61)
    expected = np.clip((values.ravel() - 99.8) / 60 + 0.5, 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("slope", [1.0, -1.0, 2.0])
@pytest.mark.parametrize("window", [None, (100, 51), (100, 50), (0, 4096), (40, 80)])
def test_both_ways_to_map_agree(inverted, signed, slope, window):
    """Clipping and shifting gives what the table gives, wherever it stands in for it."""
    stored = RAMP.astype(np.int16) - 2048 if signed else RAMP
    scale = GreyScale(
        12, signed, inverted, slope=slope, intercept=3.0, voi=window and Window(*window)
    )
    quick, white = map_intensity(stored, scale)
    low, _ = scale.stored_range
    # A padding value that the image does hold, in one corner, makes the table necessary.
    padded = GreyScale(**{**scale.__dict__, "padding": (low, low)})
    table, top = map_intensity(stored, padded)
    inside = stored != low
    np.testing.assert_allclose((quick / white)[inside], (table / top)[inside], atol=1e-5)


def test_a_lut_of_eight_bits_in_words_of_sixteen():
    """A LUT answers in [0, 1] by its own bits, not by the width of its entries."""
    lut = Lut(0, np.arange(256, dtype=np.uint16), 8)
    pixels, white = map_intensity(RAMP % 256, GreyScale(8, voi=lut))
    np.testing.assert_allclose(pixels / white, (RAMP % 256) / 255, atol=1e-5)
