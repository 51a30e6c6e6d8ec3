"""Exposure, contrast and border of real radiographs, and of the same ones altered.

    CXR_XRAYS=FOLDER python -m bench.exposure

The limits of `service.radiograph.exposure` and `service.radiograph.border` were set on
`calibration`; `dev` and the adults of `other` judge them. Last the cost of measuring.
"""

from __future__ import annotations

import os
import timeit
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from service.radiograph import exposure
from service.radiograph.border import find_border
from service.radiograph.decode import decode
from service.radiograph.exposure import Exposure, measure
from service.radiograph.preprocess import Geometry
from service.radiograph.radiograph import Radiograph, Source

GROUPS = {
    "calibration": ("calibration/NORMAL", "calibration/PNEUMONIA"),
    "dev": ("dev/NORMAL", "dev/PNEUMONIA"),
    "adults": ("other/adult-normal", "other/adult-frontal"),
}


@dataclass(frozen=True)
class Alteration:
    """What is done to a radiograph, and the reason that it should be given.

    Attributes:
        code: Of the reason.
        change: Grey levels in [0, 1], float32 (rows, columns), to the same.
    """

    code: str
    change: Callable[[np.ndarray], np.ndarray]

    def __call__(self, radiograph: Radiograph) -> Radiograph:
        levels = radiograph.pixels / np.float32(radiograph.white)
        changed = np.rint(np.clip(self.change(levels), 0, 1) * 255).astype(np.uint8)
        return replace(radiograph, pixels=changed, white=255.0)


def bordered(levels: np.ndarray, scale: float, shade: float) -> np.ndarray:
    """Make an image smaller and put it into the middle of a border."""
    rows, columns = levels.shape
    size = round(columns * scale), round(rows * scale)
    small = Image.fromarray(levels.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    page = np.full(levels.shape, shade, np.float32)
    left, top = (columns - size[0]) // 2, (rows - size[1]) // 2
    page[top : top + size[1], left : left + size[0]] = np.asarray(small)
    return page


ALTERATIONS = {
    "half as bright": Alteration("too_dark", lambda levels: levels / 2),
    "25 % as bright": Alteration("too_dark", lambda levels: levels / 4),
    "10 % as bright": Alteration("too_dark", lambda levels: levels / 10),
    "in the upper quarter": Alteration("too_bright", lambda levels: (levels + 3) / 4),
    "in the upper half": Alteration("too_bright", lambda levels: (levels + 1) / 2),
    "twice as bright": Alteration("too_bright", lambda levels: levels * 2),
    "contrast 50 %": Alteration("low_contrast", lambda levels: levels / 2 + 0.25),
    "low contrast": Alteration("low_contrast", lambda levels: levels / 4 + 0.375),
    "black border of 5 % a side": Alteration("border", lambda levels: bordered(levels, 0.9, 0)),
    "black border": Alteration("border", lambda levels: bordered(levels, 0.8, 0)),
    "small in a black border": Alteration("border", lambda levels: bordered(levels, 0.5, 0)),
    "white border": Alteration("border", lambda levels: bordered(levels, 0.9, 1)),
    "flat": Alteration("flat", lambda levels: np.full_like(levels, 0.5)),
}


def radiographs(folder: Path, group: str) -> Iterator[Radiograph]:
    """Decode the radiographs of a group."""
    for name in GROUPS[group]:
        for path in sorted((folder / name).iterdir()):
            yield decode(path.read_bytes())


def measured(radiograph: Radiograph) -> Exposure:
    """Measure what the centred crop shows."""
    source = radiograph.source
    seen = Geometry(source.width, source.height).seen
    return measure(radiograph, seen, find_border(radiograph))


def codes(radiograph: Radiograph) -> tuple[str, ...]:
    """The codes of a radiograph's reasons."""
    return tuple(reason.code for reason in measured(radiograph).reasons)


def levels(every: dict[str, list[Radiograph]], console: Console) -> None:
    """Print the extremes of each group's levels, and its false alarms."""
    columns = ("mean", "1 %", "99 %", "span", "white", "border")
    table = Table("group", "images", *columns, "with a reason", "refused")
    for group, images in every.items():
        found = [measured(image) for image in images]
        facts = [
            [getattr(one, name) for one in found]
            for name in ("mean", "low", "high", "span", "white")
        ]
        facts.append([one.border.share if one.border else 0.0 for one in found])
        alarms = Counter(reason.code for one in found for reason in one.reasons)
        flagged = sum(bool(one.reasons) for one in found)
        table.add_row(
            group,
            str(len(found)),
            *(f"{min(fact):.3f} to {max(fact):.3f}" for fact in facts),
            f"{flagged} ({100 * flagged / len(found):.1f} %) {dict(alarms) if alarms else ''}",
            str(sum(one.blank is not None for one in found)),
        )
    console.print(table)


def altered(every: dict[str, list[Radiograph]], console: Console) -> None:
    """Print how many altered images get the reason of the alteration, any reason, or a refusal."""
    table = Table("alteration", "reason", *(f"{group}: right, any, refused" for group in every))
    for name, alteration in ALTERATIONS.items():
        cells = []
        for images in every.values():
            found = [measured(alteration(image)) for image in images]
            right = [alteration.code in {r.code for r in one.reasons} for one in found]
            flagged = [bool(one.reasons) for one in found]
            refused = [one.blank is not None for one in found]
            cells.append(", ".join(f"{100 * np.mean(x):.1f} %" for x in (right, flagged, refused)))
        table.add_row(name, alteration.code, *cells)
    console.print(table)


def sampling(images: list[Radiograph], console: Console) -> None:
    """Print how far a sample of four times the rows and columns moves the two percentiles."""
    few = np.array([(one.low, one.high) for one in map(measured, images)])
    usual = exposure._SAMPLES
    exposure._SAMPLES = 4 * usual
    try:
        many = np.array([(one.low, one.high) for one in map(measured, images)])
    finally:
        exposure._SAMPLES = usual
    moved = np.abs(few - many).max(axis=1)
    console.print(
        f"Four times the samples move a percentile by more than 0.02 in {(moved > 0.02).sum()} of "
        f"{len(moved)} radiographs, by {moved.max():.3f} at the most."
    )


def cost(console: Console) -> None:
    """Print the best of some repetitions of finding the border and measuring, for some sizes."""
    table = Table("pixels", "type", "without a border", "with one")
    random = np.random.default_rng(0)
    for side in (224, 512, 2048, 4000):
        for kind, white in ((np.uint8, 255), (np.uint16, 4095)):
            pixels = random.integers(0, white, (side, side), kind)
            frame = np.pad(pixels[side // 8 : -(side // 8), side // 8 : -(side // 8)], side // 8)
            times = []
            for image in (pixels, frame):
                source = Source("PNG", 8, side, side, "full range of 8 bits")
                one = Radiograph(image, float(white), source)
                times.append(min(timeit.repeat(lambda one=one: measured(one), number=5, repeat=20)))
            table.add_row(
                f"{side} x {side}", kind.__name__, *(f"{each / 5 * 1e3:.3f} ms" for each in times)
            )
    console.print(table)


def main() -> None:
    """Print everything."""
    folder, console = Path(os.environ["CXR_XRAYS"]), Console(width=170)
    every = {group: list(radiographs(folder, group)) for group in GROUPS}
    levels(every, console)
    altered(every, console)
    sampling([image for images in every.values() for image in images], console)
    cost(console)


if __name__ == "__main__":
    main()
