"""Radiographs to send: drawn phantoms as JPEG files of three sizes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from export.demo.phantom import make_phantom


@dataclass(frozen=True)
class Size:
    """A kind of file.

    Attributes:
        name: As the table has it.
        side: Pixels.
        count: Different files of it: enough that an answer that went to another caller shows.
    """

    name: str
    side: int
    count: int


SMALL = Size("224 px", 224, 8)
SIZES = (SMALL, Size("1 MP", 1024, 3), Size("4 MP", 2048, 2))
_FIRST_SEED = 1_000_000


def draw(folder: Path) -> dict[str, list[Path]]:
    """Draw the files of every size into a folder.

    Returns:
        The files by the size's name.
    """
    return {
        size.name: [_file(folder, size, number) for number in range(size.count)] for size in SIZES
    }


def _file(folder: Path, size: Size, number: int) -> Path:
    pixels = make_phantom(_FIRST_SEED + number, number % 2 == 0, size.side).pixels
    file = folder / f"{size.side}-{number}.jpg"
    buffer = io.BytesIO()
    Image.fromarray((pixels * 255 + 0.5).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    file.write_bytes(buffer.getvalue())
    return file
