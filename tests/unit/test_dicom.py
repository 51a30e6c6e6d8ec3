"""DICOM files: syntaxes, layouts, refusals and warnings."""

import io

import numpy as np
import pydicom
import pytest
from pydicom import uid

from bench.files import ENCODERS, chest, deflated, dicom, stored
from service.errors import NotAnImage, TooLarge, TruncatedImage, Unprocessable
from service.radiograph.decode import DecodeLimits, decode

PIXELS = chest(5, 71, 64)
NATIVE = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
]
LOSSLESS = [
    *NATIVE,
    uid.RLELossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
]
LOSSY = [(uid.JPEGBaseline8Bit, 8, 16), (uid.JPEGExtended12Bit, 12, 64), (uid.JPEG2000, 12, 64)]
if uid.HTJ2K in ENCODERS:  # nothing encodes it on Python 3.10; decoding is the same there
    LOSSLESS.append(uid.HTJ2KLossless)
    LOSSY.append((uid.HTJ2K, 12, 160))


def name(value):
    return uid.UID(value).name.split(" Image")[0] if isinstance(value, str) else None


def file(bits=12, *, signed=False, syntax=uid.ExplicitVRLittleEndian, values=None, **attributes):
    values = stored(PIXELS, bits, signed=signed) if values is None else values
    frame = ENCODERS[syntax](values, bits) if syntax in ENCODERS else None
    return dicom(values, bits, syntax=syntax, frame=frame, **attributes)


def refusal(data, **options):
    with pytest.raises(Unprocessable) as found:
        decode(data, **options)
    return found.value.code


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("syntax", LOSSLESS, ids=name)
def test_lossless_syntaxes_are_exact(syntax, bits, signed):
    """Every lossless transfer syntax gives the very values that were stored, at any depth."""
    values = stored(PIXELS, bits, signed=signed)
    made = decode(file(bits, signed=signed, syntax=syntax))
    lowest = -(2 ** (bits - 1)) if signed else 0
    np.testing.assert_array_equal(made.pixels.astype(int), values.astype(int) - lowest)
    assert (made.white, made.source.bits) == (2**bits - 1, bits)
    assert made.source.transfer_syntax == uid.UID(syntax).name


@pytest.mark.parametrize(("syntax", "bits", "bound"), LOSSY, ids=name)
def test_lossy_syntaxes_are_near(syntax, bits, bound):
    """Lossy transfer syntaxes give the stored values up to what the encoder took away."""
    values = stored(PIXELS, bits).astype(int)
    assert np.abs(decode(file(bits, syntax=syntax)).pixels.astype(int) - values).max() <= bound


@pytest.mark.parametrize("syntax", NATIVE[:3], ids=name)
def test_a_preamble_is_not_needed(syntax):
    """A data set without preamble and meta information is read in all three encodings."""
    data = file(12, syntax=syntax, preamble=False)
    assert data[128:132] != b"DICM"
    np.testing.assert_array_equal(decode(data).pixels, stored(PIXELS, 12))


@pytest.mark.parametrize("word", ["OB", "OW"])
def test_8_bit_big_endian_words_are_swapped(word):
    """8-bit samples in big-endian words come in swapped pairs, in bytes they do not."""
    values = stored(PIXELS, 8)
    data = bytearray(file(8, syntax=uid.ExplicitVRBigEndian))
    at = data.index(b"\x7f\xe0\x00\x10OB")
    data[at + 4 : at + 6] = word.encode()
    if word == "OW":
        body = np.frombuffer(bytes(data[at + 12 :]), np.uint16).byteswap()
        data[at + 12 :] = body.tobytes()
    np.testing.assert_array_equal(decode(bytes(data)).pixels, values)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_unused_bits_are_dropped(signed):
    """What stands in the bits above bits stored is no part of the value."""
    values = stored(PIXELS, 12, signed=signed)
    dirty = (values.view(np.uint16) & 0x0FFF | 0xA000).view(values.dtype)
    made = decode(file(12, values=dirty))
    np.testing.assert_array_equal(made.pixels, values.astype(int) + (2048 if signed else 0))


def test_values_at_the_high_end_of_the_word_are_shifted():
    """A high bit of 15 with 12 bits stored means that the value stands in the upper bits."""
    values = stored(PIXELS, 12)
    made = decode(file(12, values=values << 4 | 7, HighBit=15))
    np.testing.assert_array_equal(made.pixels, values)


@pytest.mark.parametrize(
    ("photometric", "planar"),
    [("RGB", 0), ("RGB", 1), ("YBR_FULL", 0), ("YBR_FULL", 1), ("YBR_FULL_422", 0)],
)
def test_colour_becomes_luminance(photometric, planar):
    """A grey image kept as RGB or YBR, by pixel or by plane, has the same grey values."""
    grey = stored(PIXELS, 8)
    values = np.repeat(grey[..., None], 3, axis=2)
    if photometric != "RGB":
        values[..., 1:] = 128
    data = np.ascontiguousarray(values.transpose(2, 0, 1) if planar else values).tobytes()
    if photometric == "YBR_FULL_422":
        pairs = values.reshape(-1, 2, 3)
        data = np.concatenate([pairs[:, :, 0], pairs[:, 0, 1:]], axis=1).tobytes()
    made = decode(
        file(
            8,
            values=values,
            PhotometricInterpretation=photometric,
            PlanarConfiguration=planar,
            PixelData=data,
        )
    )
    np.testing.assert_array_equal(made.pixels, grey)


def test_a_palette_becomes_luminance():
    """Palette indices become the luminance of their colours."""
    values = stored(PIXELS, 8)
    ramp = (np.arange(256) * 257).astype("<u2")[::-1]
    attributes = {}
    for colour in ("Red", "Green", "Blue"):
        attributes[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        attributes[f"{colour}PaletteColorLookupTableData"] = ramp.tobytes()
    made = decode(file(8, values=values, PhotometricInterpretation="PALETTE COLOR", **attributes))
    assert made.white == 65535
    np.testing.assert_array_equal(made.pixels, (255 - values.astype(int)) * 257)


def test_a_colour_photograph_in_dicom_is_refused():
    """A colour picture is no radiograph in DICOM either."""
    hue = np.indices((64, 64)).sum(axis=0).astype(np.uint8)
    values = np.dstack([hue * 4, 255 - hue * 4, hue * 7])
    assert refusal(file(8, values=values)) == "not_a_radiograph"


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"Modality": "CT"}, "modality"),
        ({"Modality": "US"}, "modality"),
        ({"BodyPartExamined": "KNEE"}, "not_a_chest_radiograph"),
        ({"ViewPosition": "LL"}, "not_frontal"),
        ({"ViewPosition": "LATERAL"}, "not_frontal"),
        ({"ViewPosition": "RLO"}, "not_frontal"),
        ({"NumberOfFrames": 2}, "several_frames"),
        ({"PixelData": None}, "no_pixel_data"),
        ({"BitsAllocated": 32}, "pixel_format"),
        ({"PhotometricInterpretation": "ARGB"}, "pixel_format"),
        ({"BitsStored": 17}, "pixel_format"),
        ({"Rows": 31}, "too_small"),
    ],
    ids=lambda value: " ".join(map(str, *value.items())) if isinstance(value, dict) else None,
)
def test_what_is_not_scored_is_refused(attributes, code):
    """A file that is no single frontal radiograph is refused, and the code says why."""
    assert refusal(file(12, **attributes)) == code


def test_a_lateral_view_by_code_is_refused():
    """A lateral view is refused too where only the view code sequence says so."""
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator = "R-10236", "SRT"
    item.CodeMeaning = "left lateral"
    assert refusal(file(12, ViewPosition="", ViewCodeSequence=[item])) == "not_frontal"


def test_an_unknown_transfer_syntax_is_refused():
    """A video is no radiograph, and JPIP, which names a URL, is never followed."""
    for syntax in ("1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.94"):
        assert refusal(dicom(stored(PIXELS, 8), 8, syntax=syntax, frame=b"\0" * 64)) == (
            "transfer_syntax"
        )


@pytest.mark.parametrize(
    ("attributes", "options", "words"),
    [
        ({"ViewPosition": None}, {}, "does not name the view"),
        ({"Modality": ""}, {}, "does not name its modality"),
        ({"BodyPartExamined": "EXTREMITY"}, {"body_part": "warn"}, "part is not the chest"),
        ({"BodyPartExamined": "OUTSIDE FILM"}, {}, "may not be the chest"),
        ({"BurnedInAnnotation": "YES"}, {}, "annotations burned in"),
        ({"PresentationIntentType": "FOR PROCESSING"}, {}, "raw detector data"),
        ({"PatientOrientation": ["R", "F"]}, {}, "mirrored"),
        ({"PixelAspectRatio": [1, 2]}, {}, "not square"),
        ({"PatientAge": "012Y"}, {"ages": (18, 99)}, "age is outside"),
        ({"PatientAge": "008M"}, {"ages": (1, 5)}, "age is outside"),
        ({"WindowCenter": 5, "WindowWidth": 0}, {}, "width is not allowed"),
        ({"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "ODD"}, {}, "taken as linear"),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else None,
)
def test_what_is_doubtful_is_warned_about(attributes, options, words):
    """A doubtful file is scored with one warning, which says what is doubtful."""
    (warning,) = decode(file(12, **attributes), **options).warnings
    assert words in warning


def test_a_sound_file_has_no_warnings():
    """A frontal chest radiograph of a patient within the range of ages is not warned about."""
    data = file(12, PatientAge="003Y", PatientOrientation=["L", "F"])
    assert decode(data, ages=(1, 5)).warnings == ()


def test_nothing_of_the_patient_is_kept(caplog, capsys, recwarn):
    """No value that identifies a patient reaches the result, a message or a log."""
    secrets = ["Doe^Jane", "ID-4711", "19470101", "047Y"]
    data = file(
        12,
        PatientName=secrets[0],
        PatientID=secrets[1],
        PatientBirthDate=secrets[2],
        PatientAge=secrets[3],
    )
    made = decode(data, ages=(1, 5))
    with pytest.raises(TruncatedImage) as error:
        decode(data[:-10])
    said = (
        f"{made} {error.value} {caplog.text} {capsys.readouterr()} {[w.message for w in recwarn]}"
    )
    assert not [secret for secret in secrets if secret in said]


@pytest.mark.parametrize("syntax", [*LOSSLESS, uid.JPEGBaseline8Bit, uid.JPEG2000], ids=name)
@pytest.mark.parametrize("share", [0.7, 0.98])
def test_a_file_cut_short_is_refused(syntax, share):
    """A DICOM file whose pixels end early is damaged, in every transfer syntax."""
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
    data = file(bits, syntax=syntax)
    with pytest.raises(TruncatedImage):
        decode(data[: int(len(data) * share)])


def test_a_frame_that_is_not_what_the_file_says_is_refused():
    """A compressed frame of another size than rows and columns is damaged, not resized."""
    frame = ENCODERS[uid.JPEG2000Lossless](stored(chest(1, 40, 40), 12), 12)
    with pytest.raises(TruncatedImage):
        decode(dicom(stored(PIXELS, 12), 12, syntax=uid.JPEG2000Lossless, frame=frame))


def test_a_dicom_prefix_alone_is_no_image():
    """A prefix with rubbish behind it is no image."""
    with pytest.raises(NotAnImage):
        decode(bytes(128) + b"DICM")


def test_a_deflated_bomb_is_refused_early():
    """A deflated file that goes on inflating after its own pixels is refused, not inflated."""
    bomb = deflated(file(12), 200_000_000)
    data = _as_deflated(bomb)
    assert len(data) < 1_000_000
    with pytest.raises(TooLarge):
        decode(data)


def _as_deflated(data):
    """Give a file's meta information the deflated transfer syntax, which is longer by 2 bytes."""
    old = b"\x02\x00\x10\x00UI\x14\x00" + uid.ExplicitVRLittleEndian.encode() + b"\0"
    new = b"\x02\x00\x10\x00UI\x16\x00" + uid.DeflatedExplicitVRLittleEndian.encode()
    length = int.from_bytes(data[140:144], "little") + len(new) - len(old)
    return (data[:140] + length.to_bytes(4, "little") + data[144:]).replace(old, new)


def test_a_size_over_the_limit_is_refused_before_decoding():
    """Rows times columns over the limit is refused from the header."""
    with pytest.raises(TooLarge) as found:
        decode(file(12), limits=DecodeLimits(pixels=64 * 70))
    assert found.value.detail["limit"] == "pixels"


def test_no_reference_in_a_file_is_followed(tmp_path):
    """A file that names other files is read without them being opened."""
    other = tmp_path / "other.dcm"
    data = file(12, ReferencedFileID=str(other), RetrieveURL="http://127.0.0.1:9/x")
    np.testing.assert_array_equal(decode(data).pixels, stored(PIXELS, 12))


def test_the_source_says_what_the_file_is():
    """The result names syntax, photometric interpretation, modality, view and orientation."""
    source = decode(
        file(12, syntax=uid.RLELossless, ViewPosition="AP", PatientOrientation=["L", "F"])
    ).source
    assert (source.format, source.transfer_syntax) == ("DICOM", "RLE Lossless")
    assert (source.photometric_interpretation, source.modality) == ("MONOCHROME2", "DX")
    assert (source.view, source.orientation, source.is_dicom) == ("AP", "L\\F", True)


def test_a_written_copy_is_the_same(tmp_path):
    """A file that pydicom reads and writes again decodes to the same pixels."""
    data = file(12, syntax=uid.JPEGLosslessSV1)
    buffer = io.BytesIO()
    pydicom.dcmread(io.BytesIO(data)).save_as(buffer)
    np.testing.assert_array_equal(decode(buffer.getvalue()).pixels, decode(data).pixels)
