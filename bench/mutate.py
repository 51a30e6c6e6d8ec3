"""Damaged and hostile files, each determined by its seed.

`mutants(start, count)` yields files for fuzzing the decoder or a served process:

    from bench.mutate import mutants
    for seed, name, data in mutants(0, 2000): ...
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cache

import numpy as np
from pydicom import uid

from bench.files import ENCODERS, chest, dicom, raster, stored

_SYNTAXES = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    *ENCODERS,
]


@cache
def originals() -> dict[str, bytes]:
    """Small sound files of every format, by name."""
    pixels = chest(11, 96, 80)
    grey, deep = stored(pixels, 8), stored(pixels, 16)
    colour = np.repeat(grey[..., None], 3, axis=2)
    cut = np.dstack([colour, 255 - grey])
    files = {
        "png8": raster(grey, "PNG"),
        "png16": raster(deep, "PNG"),
        "png1": raster(raster_mode(grey, "1"), "PNG"),
        "pngpalette": raster(raster_mode(colour, "P"), "PNG"),
        "pngalpha": raster(cut, "PNG"),
        "jpeg": raster(grey, "JPEG"),
        "jpegrgb": raster(colour, "JPEG"),
        "jpegcmyk": raster(raster_mode(colour, "CMYK"), "JPEG"),
        "jpegprogressive": raster(colour, "JPEG", progressive=True),
        "tiff": raster(grey, "TIFF"),
        "tiff16": raster(deep, "TIFF", compression="tiff_lzw"),
        "tiffdeflate": raster(colour, "TIFF", compression="tiff_adobe_deflate"),
        "tiffjpeg": raster(grey, "TIFF", compression="jpeg"),
        "webp": raster(colour, "WEBP"),
        "webplossless": raster(colour, "WEBP", lossless=True),
        "jp2": raster(grey, "JPEG2000"),
    }
    for syntax in _SYNTAXES:
        # The JPEG that are not lossless take 8 and 12 bits alone.
        bits = {uid.JPEGBaseline8Bit: 8, uid.JPEGExtended12Bit: 12}.get(syntax, 12)
        values = stored(pixels, bits)
        frame = ENCODERS[syntax](values, bits) if syntax in ENCODERS else None
        files[f"dicom {uid.UID(syntax).name}"] = dicom(
            values,
            bits,
            syntax=syntax,
            frame=frame,
            WindowCenter=2 ** (bits - 1),
            WindowWidth=3 * 2 ** (bits - 2),
        )
    files["dicom rgb"] = dicom(colour, 8)
    files["dicom no preamble"] = dicom(grey, 8, preamble=False, syntax=uid.ImplicitVRLittleEndian)
    return files


def raster_mode(pixels: np.ndarray, mode: str) -> np.ndarray:
    """Pixels as a Pillow image of another mode."""
    from PIL import Image

    return Image.fromarray(pixels).convert(mode)  # type: ignore[return-value]


def _flip(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        at = rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)
    return data


def _flip_header(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 2, 4))):
        data[rng.randrange(min(len(data), 700))] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
    return data


def _truncate(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data))]


def _splice(data: bytearray, rng: random.Random) -> bytearray:
    """The head of one file before the tail of another."""
    other = rng.choice(list(originals().values()))
    cut = rng.randrange(1, min(len(data), 1500))
    return data[:cut] + bytearray(other[rng.randrange(len(other)) :])


def _drop(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randrange(1, 200) :]


def _repeat(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    part = data[start : start + rng.randrange(1, 400)]
    return data[:start] + part * rng.choice((2, 3, 50)) + data[start:]


def _absurd(data: bytearray, rng: random.Random) -> bytearray:
    """Write an absurd number where the file says its size or a length."""
    places = [found.start() for found in re.finditer(rb"\x00[\x50\x60]", bytes(data[:4000]))]
    at = rng.choice(places) if places else rng.randrange(min(len(data), 400))
    value = rng.choice((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 20_000, 100_000))
    size = rng.choice((2, 4))
    order = rng.choice(("big", "little"))
    coded = (value & (2 ** (8 * size) - 1)).to_bytes(size, order)  # type: ignore[arg-type]
    data[at : at + size] = coded
    return data


def _noise(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    length = min(rng.randrange(1, 64), len(data) - start)
    data[start : start + length] = rng.randbytes(length)
    return data


_WAYS = (_flip, _flip_header, _truncate, _splice, _drop, _repeat, _absurd, _noise)


def mutant(seed: int) -> tuple[str, bytes]:
    """The damaged file of a seed: what was done to which file, and its bytes."""
    rng = random.Random(seed)
    name = rng.choice(list(originals()))
    data = bytearray(originals()[name])
    done = []
    for way in rng.choices(_WAYS, k=rng.choice((1, 1, 2))):
        if len(data) > 1:
            data = way(data, rng)
            done.append(way.__name__.strip("_"))
    return f"{name}: {', '.join(done)}", bytes(data)


def mutants(start: int, count: int) -> Iterator[tuple[int, str, bytes]]:
    """Seeds, descriptions and bytes of damaged files."""
    for seed in range(start, start + count):
        yield (seed, *mutant(seed))
