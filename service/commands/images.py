"""The image that a command works on: the one named, or one of the test set."""

from __future__ import annotations

import random
from pathlib import Path

import click

TEST_SET = Path("datasets/test")
CLASSES = ("NORMAL", "PNEUMONIA")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".webp", ".jp2"}


def pick_from_test_set() -> Path:
    """Pick one radiograph of `datasets/test/{NORMAL,PNEUMONIA}/` at random and say which.

    Raises:
        click.UsageError: There is none to pick from.
    """
    found = [
        path
        for name in CLASSES
        for path in sorted((TEST_SET / name).rglob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]
    if not found:
        raise click.UsageError(
            f"no IMAGE was named and there is none in {TEST_SET}/{{{','.join(CLASSES)}}}/ "
            "to pick from"
        )
    chosen = random.choice(found)  # noqa: S311 - nothing secret depends on it
    click.echo(f"No image named: picked {chosen}", err=True)
    return chosen
