"""The image that a command works on where none is named."""

from __future__ import annotations

import random
from pathlib import Path

import click

TEST_SET = Path("datasets/test")
CLASSES = ("NORMAL", "PNEUMONIA")
SAMPLE = Path(__file__).parent.parent / "page" / "samples" / "opacity.png"
"""A drawn phantom with an opacity, one of those that the page offers."""

_SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".webp", ".jp2"}


def pick_image() -> Path:
    """Pick one radiograph of `datasets/test/{NORMAL,PNEUMONIA}/` at random and say which.

    Where there is none, it is `SAMPLE`, and that is said.
    """
    radiographs = [
        path
        for name in CLASSES
        for path in sorted((TEST_SET / name).rglob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]
    if radiographs:
        picked = random.choice(radiographs)  # noqa: S311 - nothing secret depends on it
        click.echo(f"No image named: picked {picked}", err=True)
        return picked
    click.echo(
        f"No image named, and none in {TEST_SET}/{{{','.join(CLASSES)}}}/: taking the sample "
        f"{SAMPLE}, a drawn phantom and no person's radiograph",
        err=True,
    )
    return SAMPLE
