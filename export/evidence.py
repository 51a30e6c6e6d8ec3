"""The images on which an export is held against the library: phantoms, and a folder if given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.phantom import make_phantom
from service.decode import decode
from service.errors import ClientFault
from service.preprocess import preprocess

PHANTOM_SEEDS = range(90_000, 90_012)
"""Held-out seeds: training used 100,000 to 100,749."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Images ready for the network.

    Attributes:
        pixels: float32 (N, 1, 224, 224) in [0, 1].
        names: One per image.
        refused: Files of the folder that could not be read, with the reason.
    """

    pixels: np.ndarray
    names: tuple[str, ...]
    refused: tuple[str, ...] = ()

    def batches(self, size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(self.pixels), size):
            yield self.pixels[start : start + size]


def phantoms(seeds: range = PHANTOM_SEEDS) -> Evidence:
    """Phantoms with and without an opacity, one pair a seed, and the two plain extremes."""
    drawn = {
        f"phantom {seed} {kind}": make_phantom(seed, opacity=kind == "opacity").pixels
        for seed in seeds
        for kind in ("normal", "opacity")
    }
    drawn["black"] = np.zeros((224, 224), np.float32)
    drawn["white"] = np.ones((224, 224), np.float32)
    return Evidence(np.stack(list(drawn.values()))[:, None], tuple(drawn))


def folder(path: Path) -> Evidence:
    """Every image below a folder, decoded and preprocessed as the service does it."""
    pixels, names, refused = [], [], []
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        name = str(file.relative_to(path))
        try:
            pixels.append(preprocess(decode(file.read_bytes())).pixels)
            names.append(name)
        except ClientFault as fault:
            refused.append(f"{name}: {fault.message}")
    stacked = np.stack(pixels) if pixels else np.zeros((0, 1, 224, 224), np.float32)
    return Evidence(stacked, tuple(names), tuple(refused))


def gather(images: Path | None) -> Evidence:
    """Phantoms, and the images of a folder where one is given."""
    drawn = phantoms()
    if images is None:
        return drawn
    real = folder(images)
    return Evidence(
        np.concatenate([drawn.pixels, real.pixels]), drawn.names + real.names, real.refused
    )
