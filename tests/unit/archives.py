"""A small archive to score: drawn radiographs in two formats, and one file of every fault."""

from pathlib import Path

import numpy as np
from pydicom import uid

from bench.files import chest, dicom, raster, stored

SIDE = 96

BAD = {
    "empty.png": "not_an_image",
    "gone.png": "unreadable",
    "lateral.dcm": "not_frontal",
    "notes.txt": "not_an_image",
    "truncated.png": "truncated_image",
}
"""Files that cannot be scored, and the error that says why."""


def picture(number: int) -> np.ndarray:
    """A phantom like no other."""
    return chest(number % 6, SIDE, SIDE) * np.float32(1 - number / 400)


def png(number: int) -> bytes:
    return raster(stored(picture(number), 8), "PNG")


def radiograph(number: int, **attributes: object) -> bytes:
    """The same as DICOM, of a study of its own."""
    own = {"SOPInstanceUID": f"1.2.3.{number + 1}", "StudyInstanceUID": f"1.2.4.{number + 1}"}
    values = stored(picture(number), 12)
    return dicom(values, 12, syntax=uid.ExplicitVRLittleEndian, **(own | attributes))


def draw_archive(folder: Path, count: int) -> list[str]:
    """Draw `count` good files into two folders, and the bad ones between them.

    Returns:
        Their names in the order in which they are scored.
    """
    for number in range(count):
        is_dicom = number % 3 == 0
        path = folder / ("one", "two")[number % 2] / f"{number:03}{'' if is_dicom else '.png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(radiograph(number) if is_dicom else png(number))
    bad = folder / "one"
    (bad / "empty.png").write_bytes(b"")
    (bad / "gone.png").symlink_to("nowhere")
    (bad / "lateral.dcm").write_bytes(radiograph(0, ViewPosition="LL"))
    (bad / "notes.txt").write_text("a note")
    (bad / "truncated.png").write_bytes(png(1)[:800])
    return [str(path.relative_to(folder)) for path in sorted(folder.glob("*/*"))]
