"""The images that quantisation takes its ranges from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from export.bundle.check_images import CheckImages, folder
from export.demo.phantom import make_phantom
from export.errors import CalibrationRefused

SEEDS = range(80_000, 80_024)
"""Apart from the seeds that trained the demo weights (100,000 on) and from those that
`export.bundle.check_images` compares on (90,000 on)."""

MOST_FROM_FOLDER = 64
SIDE = 224


@dataclass(frozen=True, eq=False)
class Calibration:
    """Images ready for the network.

    Attributes:
        plain: float32 (N, 1, 224, 224) in [0, 1], as the network will meet them.
        varied: The same shape and range, each plain image taken far from where it was.
        source: Where the plain images come from, for people.
        labelled: The images of the folder, where it holds both classes; None otherwise.
    """

    plain: np.ndarray
    varied: np.ndarray
    source: str
    labelled: CheckImages | None = None


def gather_calibration(path: Path | None) -> Calibration:
    """Phantoms, and the images of a folder where one is given.

    Of a large folder, images are taken evenly over its sorted list.

    Raises:
        CalibrationRefused: The folder holds no radiograph that can be read.
    """
    plain = np.stack(
        [make_phantom(seed, opacity=planted).pixels for seed in SEEDS for planted in (False, True)]
    )[:, None]
    source, labelled = "phantoms", None
    if path is not None:
        found = folder(path)
        if not found.names:
            raise CalibrationRefused(f"{path} holds no radiograph to calibrate on")
        step = max(1, len(found.names) // MOST_FROM_FOLDER)
        taken = found.pixels[::step][:MOST_FROM_FOLDER]
        source = f"{len(taken)} images of the folder given, and phantoms"
        plain = np.concatenate([taken, plain])
        labelled = found if {True, False} <= set(found.positive) else None
    rng = np.random.default_rng(0)
    return Calibration(plain, np.stack([vary(image, rng) for image in plain]), source, labelled)


def vary(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take an image to where phantoms do not reach and radiographs of some machine may.

    Phantoms are smooth and alike. A channel that answers to an edge, a marker of lead, a black
    border or noise stays almost silent on them, and a range taken from them alone would clip it
    on the first radiograph. So: another zoom, contrast, polarity and noise, borders, plates.

    Args:
        image: float32 (1, 224, 224) in [0, 1].
        rng: What decides.

    Returns:
        float32 (1, 224, 224) in [0, 1].
    """
    varied = _zoomed(image[0], rng) ** rng.uniform(0.4, 2.5)
    if rng.random() < 0.25:
        varied = 1 - varied
    if rng.random() < 0.5:
        varied = rng.uniform(0, 0.3) + varied * rng.uniform(0.4, 1.2)
    grain = gaussian_filter(rng.standard_normal((SIDE, SIDE)), rng.choice([0.01, 0.7, 1.5, 4.0]))
    varied = varied + grain / grain.std() * rng.uniform(0, 0.12)
    for top, left, height, width in _plates(rng):
        varied[top : top + height, left : left + width] = rng.choice([0, 1, rng.random()])
    if rng.random() < 0.3:
        border = rng.integers(5, 50)
        varied[:, :border] = varied[:, -border:] = 0
    if rng.random() < 0.2:
        varied = np.rot90(varied, int(rng.integers(1, 4)))
    return np.clip(varied, 0, 1).astype(np.float32)[None]


def _zoomed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part of an image, enlarged to the whole, in [0, 1]."""
    side = int(SIDE / rng.uniform(1, 2.5))
    top, left = rng.integers(0, SIDE + 1 - side, 2)
    part = zoom(image[top : top + side, left : left + side], SIDE / side, order=1)
    part = np.pad(part[:SIDE, :SIDE], [(0, max(0, SIDE - length)) for length in part.shape], "edge")
    return np.clip(part, 0, 1)


def _plates(rng: np.random.Generator) -> Iterator[tuple[int, int, int, int]]:
    """Top, left, height and width of up to four rectangles, as markers and implants make them."""
    for _ in range(rng.integers(0, 5)):
        top, left = rng.integers(0, SIDE - 24, 2)
        height, width = rng.integers(2, 24, 2)
        yield int(top), int(left), int(height), int(width)
