"""PNG, JPEG, TIFF, WebP and JPEG 2000 files."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from bench.files import chest, raster, stored
from service.errors import NotAnImage, TooLarge, TruncatedImage, Unprocessable
from service.radiograph.decode import DecodeLimits, decode

PIXELS = chest(3, 70, 61)
GREY = stored(PIXELS, 8)
DEEP = stored(PIXELS, 16)
COLOUR = np.repeat(GREY[..., None], 3, axis=2)


def saved(pixels, form, mode=None, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    return raster(image.convert(mode) if mode else image, form, **options)


def photograph(rows=80, columns=90):
    """Every hue side by side, as no radiograph has them."""
    hue = np.broadcast_to(np.arange(columns) * 255 // columns, (rows, columns))
    full = np.full((rows, columns), 200)
    return Image.fromarray(np.dstack([hue, full, full]).astype(np.uint8), "HSV").convert("RGB")


@pytest.mark.parametrize(
    ("form", "options", "name"),
    [
        ("PNG", {}, "PNG"),
        ("TIFF", {}, "TIFF"),
        ("TIFF", {"compression": "tiff_lzw"}, "TIFF"),
        ("TIFF", {"compression": "tiff_adobe_deflate"}, "TIFF"),
        ("JPEG2000", {}, "JPEG2000"),
        ("JPEG2000", {"no_jp2": True}, "JPEG2000"),
    ],
)
def test_lossless_8_bit_pixels_are_exact(form, options, name):
    """A lossless 8-bit file decodes to the very pixels that were saved, with 255 as white."""
    made = decode(saved(GREY, form, **options))
    assert (made.source.format, made.source.bits, made.white) == (name, 8, 255)
    assert (made.source.height, made.source.width) == (70, 61)
    np.testing.assert_array_equal(made.pixels, GREY)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG2000"])
def test_16_bit_pixels_keep_their_depth(form):
    """A 16-bit grey file decodes to all of its 16 bits."""
    made = decode(saved(DEEP, form))
    assert (made.source.bits, made.white) == (16, 65535)
    np.testing.assert_array_equal(made.pixels, DEEP)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_of_few_bits_spans_black_to_white(bits):
    """A PNG of 1, 2 or 4 bits is spread over the full range: its top value is white."""
    packed = np.arange(64) % 2**bits
    lines = bytearray()
    for _ in range(32):
        lines += (
            b"\0"
            + np.packbits(
                np.unpackbits(packed[:, None].astype(np.uint8), axis=1)[:, 8 - bits :].ravel()
            ).tobytes()
        )
    made = decode(png(64, 32, bits, 0, zlib.compress(bytes(lines))))
    expected = np.tile(packed * 255 // (2**bits - 1), (32, 1))
    np.testing.assert_array_equal(made.pixels, expected)


def png(width, height, bits, kind, body):
    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "P", {}),
        ("PNG", "LA", {}),
        ("PNG", "RGBA", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("TIFF", "RGB", {}),
        ("TIFF", "CMYK", {}),
        ("JPEG2000", "RGB", {}),
    ],
)
def test_grey_kept_as_colour_is_the_same_grey(form, mode, options):
    """A grey image saved as colour, palette or with opaque alpha has the same grey values."""
    made = decode(saved(GREY, form, mode, **options))
    np.testing.assert_array_equal(made.pixels, GREY)
    assert made.warnings == ()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_is_what_pillow_decodes(mode):
    """A JPEG's grey values are its luminance: Pillow's own grey for grey, within 1 for colour."""
    data = saved(GREY, "JPEG", mode, quality=95)
    theirs = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").convert("L"), int)
    assert np.abs(decode(data).pixels.astype(int) - theirs).max() <= (0 if mode == "L" else 1)


def test_transparency_is_black_and_said():
    """Transparent pixels become black, whatever colour hides in them, with a warning."""
    alpha = np.full_like(GREY, 255)
    alpha[:, :20] = 0
    made = decode(saved(np.dstack([COLOUR, alpha]), "PNG"))
    np.testing.assert_array_equal(made.pixels[:, :20], 0)
    np.testing.assert_array_equal(made.pixels[:, 20:], GREY[:, 20:])
    assert made.warnings == ("Transparent pixels were taken as black.",)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_undone(form, orientation):
    """An image with any of the eight EXIF orientations decodes upright."""
    exif = Image.Exif()
    exif[274] = orientation
    options = {} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    data = saved(COLOUR, form, exif=exif, **options)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    made = decode(data)
    assert (made.source.width, made.source.height) == upright.size
    difference = made.pixels.astype(int) - np.asarray(upright.convert("L"), int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("pixels", [GREY, DEEP], ids=["8 bits", "16 bits"])
def test_tiff_with_white_zero_is_inverted(pixels):
    """A TIFF whose photometric interpretation is WhiteIsZero decodes with white bright."""
    top = np.iinfo(pixels.dtype).max
    data = bytearray(saved(pixels, "TIFF"))
    entry = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
    at = data.index(entry)
    data[at : at + 12] = struct.pack("<HHIHH", 262, 3, 1, 0, 0)
    np.testing.assert_array_equal(decode(bytes(data)).pixels, top - pixels)


def test_12_bit_jpeg_2000_reaches_white():
    """The greatest value of a 12-bit JPEG 2000 file is white, not 4095 of 65535."""
    from bench.files import ENCODERS, uid

    values = stored(PIXELS, 12)
    made = decode(ENCODERS[uid.JPEG2000Lossless](values, 12))
    assert made.source.bits == 12
    np.testing.assert_allclose(made.pixels / made.white, values / 4095, atol=1e-7)


def test_scaled_jpeg_keeps_the_geometry():
    """Scaled decoding gives fewer pixels over the same image: size and crop stay the source's."""
    data = saved(stored(chest(4, 1201, 1103), 8), "JPEG")
    made = decode(data, reduce=True)
    assert (made.reduction, made.pixels.shape) == (2, (601, 552))
    assert (made.source.width, made.source.height) == (1103, 1201)
    assert decode(data).pixels.shape == (1201, 1103)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_several_images_are_refused(form):
    """An animation or a file of several pages is refused, not scored by its first."""
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    data = saved(frames[0], form, save_all=True, append_images=frames[1:])
    if form == "GIF":
        with pytest.raises(NotAnImage):
            decode(data)
    else:
        with pytest.raises(Unprocessable) as refusal:
            decode(data)
        assert refusal.value.code == "several_frames"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_colour_photograph_is_refused(form):
    """A picture of many hues is refused as no radiograph, in every format."""
    with pytest.raises(Unprocessable) as refusal:
        decode(saved(photograph(), form))
    assert refusal.value.code == "not_a_radiograph"


@pytest.mark.parametrize(
    "tint", [(1.0, 0.89, 0.7), (0.85, 0.95, 1.0), (1.0, 1.0, 0.9)], ids=["sepia", "blue", "cream"]
)
def test_a_tinted_scan_is_read(tint):
    """A scan with one light tint over the whole is a radiograph."""
    pixels = np.rint(COLOUR * np.array(tint)).astype(np.uint8)
    assert decode(saved(pixels, "PNG")).pixels.shape == GREY.shape


def test_a_coloured_marker_is_no_photograph():
    """A red marker over 4 % of a grey radiograph does not make it a photograph."""
    pixels = COLOUR.copy()
    pixels[:13, :13] = (255, 0, 0)
    assert decode(saved(pixels, "PNG")).pixels.shape == GREY.shape


def test_one_strong_colour_is_refused():
    """An image of a single strong hue is no light tint."""
    pixels = np.rint(COLOUR * np.array((1.0, 0.2, 0.1))).astype(np.uint8)
    pixels[..., 0] = np.maximum(pixels[..., 0], 120)
    with pytest.raises(Unprocessable) as refusal:
        decode(saved(pixels, "PNG"))
    assert refusal.value.code == "not_a_radiograph"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "JPEG2000"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.97])
def test_a_file_cut_short_is_refused(form, share):
    """A file that ends early is damaged, however much of it is there."""
    options = {"compression": "tiff_lzw"} if form == "TIFF" else {}
    data = saved(GREY, form, **options)
    with pytest.raises(TruncatedImage):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"hello, world" * 40, b"<svg/>", b"GIF89a" + bytes(99), b"%PDF-1.7", bytes(4096)],
    ids=["empty", "one byte", "text", "SVG", "GIF", "PDF", "zeros"],
)
def test_what_is_no_image_is_named_so(data):
    """A file of no format that is read is refused as no image."""
    with pytest.raises(NotAnImage):
        decode(data)


@pytest.mark.parametrize(
    ("size", "limit"),
    [((20_001, 40), "longest"), ((40, 20_001), "longest"), ((20_000, 20_000), "pixels")],
)
def test_sizes_are_refused_from_the_header(size, limit):
    """A size over a limit is refused before a pixel is there."""
    with pytest.raises(TooLarge) as refusal:
        decode(png(*size, 8, 0, b""))
    assert refusal.value.detail["limit"] == limit


def test_an_image_too_small_is_refused():
    """An image below 32 pixels a side is no radiograph."""
    with pytest.raises(Unprocessable) as refusal:
        decode(saved(GREY[:31], "PNG"))
    assert refusal.value.code == "too_small"


def test_bytes_are_limited():
    """A file longer than the limit is refused unread."""
    data = saved(GREY, "PNG")
    assert decode(data, limits=DecodeLimits(bytes=len(data))).source.format == "PNG"
    with pytest.raises(TooLarge) as refusal:
        decode(data, limits=DecodeLimits(bytes=len(data) - 1))
    assert refusal.value.detail["limit"] == "bytes"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "JPEG2000"])
def test_time_is_limited(form):
    """A file whose time is over is given up with a client's error."""
    with pytest.raises(TooLarge) as refusal:
        decode(saved(GREY, form), limits=DecodeLimits(seconds=-1))
    assert refusal.value.code == "decode_time"


def test_a_jpeg_of_a_thousand_scans_is_refused():
    """A progressive JPEG with more scans than an encoder writes is not decoded."""
    data = saved(COLOUR, "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    bomb = data[:scan] + data[scan:-2] * 1000 + data[-2:]
    with pytest.raises(TooLarge) as refusal:
        decode(bomb)
    assert refusal.value.detail["limit"] == "passes"


@pytest.mark.parametrize("image", [GREY, COLOUR])
def test_scans_behind_a_whole_one_are_damage(image):
    """A sequential JPEG is over after the scan of all its components; more of them are damage."""
    data = saved(image, "JPEG")
    scan = data.rindex(b"\xff\xda")
    with pytest.raises(TruncatedImage):
        decode(data[:-2] + data[scan:-2] * 1000 + data[-2:])


def test_scans_of_single_components_are_counted():
    """A sequential JPEG whose first scan holds one component of three has a limit to its scans."""
    data = bytearray(saved(COLOUR, "JPEG"))
    scan = data.rindex(b"\xff\xda")
    data[scan + 2 : scan + 14] = b"\0\x08\1\1\0\0\x3f\0"
    with pytest.raises(TooLarge) as refusal:
        decode(bytes(data[:-2] + data[scan:-2] * 1000 + data[-2:]))
    assert refusal.value.detail["limit"] == "passes"


def test_too_much_compressed_data_is_not_inflated():
    """A PNG with a megabyte of zeros compressed behind its pixels still gives its pixels."""
    lines = (b"\0" + bytes(64)) * 64
    body = zlib.compress(lines + bytes(50_000_000), 9)
    np.testing.assert_array_equal(decode(png(64, 64, 8, 0, body)).pixels, np.zeros((64, 64)))
