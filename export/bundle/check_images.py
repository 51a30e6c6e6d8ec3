"""The images on which an export is compared with the library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.demo.phantom import make_phantom
from service.errors import ClientFault
from service.radiograph.decode import decode
from service.radiograph.preprocess import preprocess

PHANTOM_SEEDS = range(90_000, 90_012)
"""Held-out seeds: training used 100,000 to 100,749."""


@dataclass(frozen=True, eq=False)
class CheckImages:
    """Images ready for the network.

    Attributes:
        pixels: float32 (N, 1, 224, 224) in [0, 1].
        names: One per image.
        refused: Files of the folder that could not be read, with the reason.
        positive: One per image, whether it shows pneumonia; None where that is not known.
        drawn: How many of the images, from the first, are phantoms.
    """

    pixels: np.ndarray
    names: tuple[str, ...]
    refused: tuple[str, ...] = ()
    positive: tuple[bool | None, ...] = ()
    drawn: int = 0

    def groups(self) -> dict[str, slice]:
        """Phantoms and radiographs apart, each as a part of the images; none that is empty."""
        parts = {
            "phantoms": slice(0, self.drawn),
            "radiographs": slice(self.drawn, len(self.names)),
        }
        return {name: part for name, part in parts.items() if part.start < part.stop}

    def batches(self, size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(self.pixels), size):
            yield self.pixels[start : start + size]


def phantoms(seeds: range = PHANTOM_SEEDS) -> CheckImages:
    """Phantoms with and without an opacity, one pair a seed, and the two plain extremes."""
    drawn = {
        f"phantom {seed} {kind}": make_phantom(seed, opacity=kind == "opacity").pixels
        for seed in seeds
        for kind in ("normal", "opacity")
    }
    drawn["black"] = np.zeros((224, 224), np.float32)
    drawn["white"] = np.ones((224, 224), np.float32)
    known = {" normal": False, " opacity": True}
    positive = tuple(
        next((shows for end, shows in known.items() if name.endswith(end)), None) for name in drawn
    )
    pixels = np.stack(list(drawn.values()))[:, None]
    return CheckImages(pixels, tuple(drawn), positive=positive, drawn=len(drawn))


def folder(path: Path) -> CheckImages:
    """Every image below a folder, decoded and preprocessed as the service does it.

    Folders named NORMAL and PNEUMONIA label the images in them.
    """
    pixels, names, refused = [], [], []
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        name = str(file.relative_to(path))
        try:
            pixels.append(preprocess(decode(file.read_bytes())).pixels)
            names.append(name)
        except ClientFault as fault:
            refused.append(f"{name}: {fault.message}")
    stacked = np.stack(pixels) if pixels else np.zeros((0, 1, 224, 224), np.float32)
    return CheckImages(stacked, tuple(names), tuple(refused), tuple(_label(name) for name in names))


def _label(name: str) -> bool | None:
    """Whether a file shows pneumonia, by the folder that it lies in."""
    parts = {part.upper() for part in Path(name).parts[:-1]}
    if ("PNEUMONIA" in parts) == ("NORMAL" in parts):
        return None
    return "PNEUMONIA" in parts


def gather(images: Path | None) -> CheckImages:
    """Phantoms, and the images of a folder where one is given."""
    drawn = phantoms()
    if images is None:
        return drawn
    real = folder(images)
    return CheckImages(
        np.concatenate([drawn.pixels, real.pixels]),
        drawn.names + real.names,
        real.refused,
        drawn.positive + real.positive,
        drawn.drawn,
    )
