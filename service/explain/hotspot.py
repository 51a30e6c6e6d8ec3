"""The hotspot of a heat map in the source image, in pixels and in words."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from PIL import Image

from service.radiograph.preprocess import INPUT_SIDE, Geometry
from service.radiograph.rectangle import Rectangle

BOX_SHARE = 0.7
"""Share of the peak from which a pixel belongs to the box: what matches opacities best, on
phantoms other than those that the localisation is measured on, as does the filter below."""

_COLUMNS = 256
"""Columns of a map that are spread at a time."""

SIDES = {"L": "left", "R": "right"}


@dataclass(frozen=True)
class Box:
    """A rectangle of source pixels.

    Attributes:
        left: First column inside.
        top: First row inside.
        width: Columns, at least 1.
        height: Rows, at least 1.
    """

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Hotspot:
    """Where a map is hottest.

    Attributes:
        column: Of the peak, in source pixels from the left edge.
        row: Of the peak, in source pixels from the top edge.
        box: Around the peak's own region: what hangs together with it and is at least
            `BOX_SHARE` as hot.
    """

    column: int
    row: int
    box: Box


@dataclass(frozen=True)
class Unseen:
    """Margins that the network never saw; source pixels."""

    left: int
    top: int
    right: int
    bottom: int
    share: float
    """Of the image's area, in [0, 1)."""


def at_input(values: np.ndarray, side: int = INPUT_SIDE) -> np.ndarray:
    """Spread a map over the network's input with a Lanczos filter.

    The filter overshoots between cells, which is how a peak can lie between two of them: so it
    is scaled back to 1, not cut off there, which would leave a plateau and a wrong peak.

    Args:
        values: float32 (n, n), at least 0, not all zero.
        side: Pixels of a side of the result.

    Returns:
        float32 (side, side) in [0, 1], 1 at its peak.
    """
    lanczos = Image.Resampling.LANCZOS
    rows = len(values)
    wide = Image.fromarray(np.ascontiguousarray(values, np.float32)).resize((side, rows), lanczos)
    heat = np.empty((side, side), np.float32)
    # Column by column the same as at once, with no more than one array of the result's size.
    for left in range(0, side, _COLUMNS):
        band = wide.crop((left, 0, min(left + _COLUMNS, side), rows))
        heat[:, left : left + _COLUMNS] = np.asarray(band.resize((band.width, side), lanczos))
    np.maximum(heat, 0, out=heat)
    return np.divide(heat, heat.max(), out=heat)


def over_image(values: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Spread a map over what the network sees of an image, pixel for pixel.

    Args:
        values: float32 (n, n), at least 0, not all zero, over the network's square.
        geometry: Where the square lies in the image.

    Returns:
        float32 with the rows and columns of `geometry.seen`, in [0, 1], 1 at the map's peak.
    """
    seen, square = geometry.seen, geometry.square
    if seen == square:
        return at_input(values, geometry.side)
    cells = len(values)
    edges = (
        seen.left - square.left,
        seen.top - square.top,
        seen.right - square.left,
        seen.bottom - square.top,
    )
    left, top, right, bottom = (min(edge * cells / geometry.side, cells) for edge in edges)
    heat = _spread(values, (seen.width, seen.height), (left, top, right, bottom))
    peak = _spread(values, (INPUT_SIDE, INPUT_SIDE)).max()
    return np.asarray(np.minimum(heat / peak, 1), np.float32)


def _spread(
    values: np.ndarray,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """Resize a map, or a box of its cells, to columns and rows; at least 0."""
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.maximum(np.asarray(image.resize(size, Image.Resampling.LANCZOS, box)), 0)


def locate(values: np.ndarray, geometry: Geometry) -> Hotspot:
    """Find a map's peak and the box around it.

    The place is found on the grid of the network's input, so it is the same whatever the
    resolution of the file, and then counted in source pixels.

    Args:
        values: float32 (n, n) in [0, 1], not all zero.
        geometry: Where the crop lies in the source image.
    """
    heat = seen_heat(values, geometry)
    row, column = (int(i) for i in np.unravel_index(np.argmax(heat), heat.shape))
    region = _extent(heat >= BOX_SHARE * heat[row, column], row, column)
    scale = geometry.side / INPUT_SIDE
    left, right = _span(region[1], region[3], scale)
    top, bottom = _span(region[0], region[2], scale)
    x, y = geometry.left, geometry.top
    box = Rectangle(x + left, y + top, x + right, y + bottom).common(geometry.seen)
    return Hotspot(
        column=x + int((column + 0.5) * scale),
        row=y + int((row + 0.5) * scale),
        box=Box(box.left, box.top, box.width, box.height),
    )


def seen_heat(values: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A map over the network's input, zero where black was added beside the image.

    Args:
        values: float32 (n, n), at least 0, not all zero.
        geometry: Where the square lies in the source image.

    Returns:
        float32 (224, 224) in [0, 1], 1 at the peak of the whole map.
    """
    heat = at_input(values)
    if geometry.seen == geometry.square:
        return heat
    scale = geometry.side / INPUT_SIDE
    centres = (np.arange(INPUT_SIDE) + 0.5) * scale
    columns, rows = centres + geometry.left, centres + geometry.top
    seen = geometry.seen
    across = (columns >= seen.left) & (columns < seen.right)
    down = (rows >= seen.top) & (rows < seen.bottom)
    return np.asarray(heat * (down[:, None] & across), np.float32)


def _span(first: int, end: int, scale: float) -> tuple[int, int]:
    """Input pixels first to end, in pixels of the crop; never empty."""
    start = round(first * scale)
    return start, max(round(end * scale), start + 1)


def _extent(mask: np.ndarray, row: int, column: int) -> tuple[int, int, int, int]:
    """Bounding box of a pixel's connected component, joined by edges.

    Goes from run to run, of which there are a few a row, not from pixel to pixel.
    """
    edges = np.diff(mask.astype(np.int8), axis=1, prepend=0, append=0)
    rows, starts = (found.tolist() for found in np.nonzero(edges == 1))
    ends = np.nonzero(edges == -1)[1].tolist()
    left: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for at, start, end in zip(rows, starts, ends, strict=True):
        left[at].append((start, end))
    reached = [(row, start, end) for start, end in left[row] if start <= column < end]
    left[row] = [run for run in left[row] if run != reached[0][1:]]
    for at, start, end in reached:  # grows while it is gone through
        for near in (at - 1, at + 1):
            touching = [run for run in left[near] if run[0] < end and start < run[1]]
            reached += [(near, *run) for run in touching]
            left[near] = [run for run in left[near] if run not in touching]
    tops, lefts, rights = zip(*reached, strict=True)
    return min(tops), min(lefts), max(tops) + 1, max(rights)


def unseen(geometry: Geometry) -> Unseen:
    """The margins that the network's square leaves out."""
    return Unseen(*geometry.unseen, geometry.unseen_share)


def describe_hotspot(
    place: Hotspot, geometry: Geometry, patient_orientation: tuple[str, str] | None = None
) -> str:
    """Describe a peak's position in words.

    Args:
        place: The peak.
        geometry: Of the source image.
        patient_orientation: DICOM Patient Orientation (0020,0020): where in the patient the
            rows and the columns run to, such as ("L", "F"). None where it is not known.

    Returns:
        "image right, lower third (the patient's left)"; without the parenthesis where the
        patient's side is not known.
    """
    side = "left" if place.column < geometry.width / 2 else "right"
    third = ("upper", "middle", "lower")[min(3 * place.row // geometry.height, 2)]
    patients = patient_side(place, geometry, patient_orientation)
    whose = f" (the patient's {patients})" if patients else ""
    return f"image {side}, {third} third{whose}"


def directions(orientation: str | None) -> tuple[str, str] | None:
    r"""Patient Orientation as a file has it, "L\F", as the two directions it names."""
    parts = (orientation or "").split("\\")
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) else None


def patient_side(
    place: Hotspot, geometry: Geometry, patient_orientation: tuple[str, str] | None
) -> str | None:
    """The patient's own side on which a peak lies: "left", "right", or None if not known.

    Only the first letter of each direction counts: it is the principal one (DICOM PS3.3,
    C.7.6.1.1.1). A lateral view runs along neither side, so it has none.
    """
    if patient_orientation is None:
        return None
    towards = [direction[:1].upper() for direction in patient_orientation]
    positions = (place.column / geometry.width, place.row / geometry.height)
    for direction, position in zip(towards, positions, strict=True):
        if direction in SIDES:
            opposite = "R" if direction == "L" else "L"
            return SIDES[direction if position >= 0.5 else opposite]
    return None
