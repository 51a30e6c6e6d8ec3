"""An archive to score: many different files of every common format, one in a hundred bad."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from bench.files import ENCODERS, chest, dicom, raster, stored

SIDES = (224, 320, 512, 640, 1024)
_BASES_A_SIDE = 40
_FOLDER = 500
_FIRST_SEED = 1_000_000
BAD_ONE_IN = 100

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Archive:
    """What was drawn.

    Attributes:
        folder: Where.
        good: Files that can be scored.
        bad: Files that cannot.
    """

    folder: Path
    good: tuple[Path, ...]
    bad: tuple[Path, ...]

    @property
    def count(self) -> int:
        return len(self.good) + len(self.bad)


def draw_archive(folder: Path, count: int) -> Archive:
    """Draw `count` files, all different, into folders of 500; those that are there are kept."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        drawn = list(pool.map(partial(_draw, folder, count), range(count), chunksize=_FOLDER // 10))
    good = tuple(path for path, is_good in drawn if is_good)
    return Archive(folder, good, tuple(path for path, is_good in drawn if not is_good))


def _draw(folder: Path, count: int, number: int) -> tuple[Path, bool]:
    is_bad = number % BAD_ONE_IN == BAD_ONE_IN // 2
    kinds = _BAD if is_bad else _GOOD
    kind, (suffix, make) = list(kinds.items())[
        (number // BAD_ONE_IN if is_bad else number) % len(kinds)
    ]
    path = folder / f"{number // _FOLDER:03}" / f"{number:06}-{kind}{suffix}"
    if not os.path.lexists(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = _picture(number, min(_BASES_A_SIDE, max(4, count // 100)))
        if kind == "dangling":
            path.symlink_to("nowhere")
        else:
            path.write_bytes(make(pixels))
    return path, not is_bad


@cache
def _base(number: int, side: int) -> Pixels:
    # Larger than the picture by an eighth, for the crop to move about in.
    drawn = side + side // 8
    return chest(_FIRST_SEED + number, drawn, drawn, opacity=number % 2 == 0)


def _picture(number: int, bases: int) -> Pixels:
    """A phantom, cropped and lit as no other is."""
    draw = np.random.default_rng(number)
    side = int(draw.choice(SIDES))
    base = _base(int(draw.integers(bases)), side)
    left, top = draw.integers(0, base.shape[0] - side, 2)
    cut = base[top : top + side, left : left + side]
    return np.clip(cut * np.float32(draw.uniform(0.85, 1)) + np.float32(draw.uniform(0, 0.1)), 0, 1)


def _png(bits: int, pixels: Pixels) -> bytes:
    return raster(stored(pixels, bits), "PNG", compress_level=1)


def _jpeg(pixels: Pixels) -> bytes:
    return raster(stored(pixels, 8), "JPEG", quality=90)


def _dicom(syntax: str, pixels: Pixels, **attributes: object) -> bytes:
    values = stored(pixels, 12)
    frame = ENCODERS[syntax](values, 12) if syntax in ENCODERS else None
    return dicom(values, 12, syntax=syntax, frame=frame, **attributes)


_GOOD: dict[str, tuple[str, Callable[[Pixels], bytes]]] = {
    "png8": (".png", partial(_png, 8)),
    "jpeg": (".jpg", _jpeg),
    "plain": ("", partial(_dicom, uid.ExplicitVRLittleEndian)),
    "png16": (".png", partial(_png, 16)),
    "j2k": (".dcm", partial(_dicom, uid.JPEG2000Lossless)),
    "tiff": (".tif", lambda pixels: raster(stored(pixels, 16), "TIFF")),
    "rle": (".dcm", partial(_dicom, uid.RLELossless)),
}
_BAD: dict[str, tuple[str, Callable[[Pixels], bytes]]] = {
    "truncated": (".jpg", lambda pixels: _jpeg(pixels)[:2000]),
    "text": (".png", lambda _pixels: b"a note about a radiograph\n"),
    "empty": (".dcm", lambda _pixels: b""),
    "lateral": (".dcm", lambda pixels: _dicom(uid.RLELossless, pixels, ViewPosition="LL")),
    "dangling": (".png", lambda _pixels: b""),
}
