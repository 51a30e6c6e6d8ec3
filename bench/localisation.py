"""Whether the heat maps find the opacity: peaks and boxes on held-out phantoms.

    python -m bench.localisation [BUNDLE] [PHANTOMS]

For each method and layer: the share of peaks inside the opacity, the share within the pointing
game's usual 15 pixels of it at 224 x 224 (Zhang et al. 2018), and the mean intersection over
union of the box with the opacity's own. A blurred-random map shows what chance gets.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from export.demo.phantom import Phantom, make_phantom
from service.explain.cam.class_map import LAYERS
from service.explain.cam.gradients import BATCH, differentiate
from service.explain.cam.weighting import WEIGHTINGS
from service.explain.hotspot import Box, locate
from service.network.bundle import open_bundle
from service.network.runtime.torchscript import load_network
from service.radiograph.preprocess import INPUT_SIDE, Geometry

NEAR = 15
SQUARE = Geometry(INPUT_SIDE, INPUT_SIDE)


@dataclass(frozen=True)
class Localisation:
    """How well maps point.

    Attributes:
        inside: Share of peaks inside the opacity.
        near: Share of peaks inside it or at most `NEAR` pixels away.
        iou: Mean intersection over union of the boxes; an empty map has none and counts as 0.
    """

    inside: float
    near: float
    iou: float

    def __str__(self) -> str:
        return f"inside {self.inside:6.1%}  within {NEAR} px {self.near:6.1%}  IoU {self.iou:.3f}"


def mask_box(mask: np.ndarray) -> Box:
    """The box around a mask's True pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    height = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    shared = max(width, 0) * max(height, 0)
    return shared / (a.width * a.height + b.width * b.height - shared)


def localisation(maps: Sequence[np.ndarray], phantoms: Sequence[Phantom]) -> Localisation:
    """Compare maps, (n, n) each, with the opacities of their phantoms."""
    inside, near, iou = [], [], []
    for values, phantom in zip(maps, phantoms, strict=True):
        if not values.any():
            inside.append(False), near.append(False), iou.append(0.0)
            continue
        place = locate(values, SQUARE)
        away = distance_transform_edt(~phantom.opacity)[place.row, place.column]
        inside.append(away == 0)
        near.append(away <= NEAR)
        iou.append(overlap(place.box, mask_box(phantom.opacity)))
    return Localisation(float(np.mean(inside)), float(np.mean(near)), float(np.mean(iou)))


def blurred_random(seed: int) -> np.ndarray:
    """Noise at the network's input blurred by `NEAR` pixels, float32 (224, 224) in [0, 1].

    It is wrapped around at the edges, so that its peak is as likely anywhere.
    """
    noise = np.random.default_rng(seed).random((INPUT_SIDE, INPUT_SIDE), np.float32)
    blurred = gaussian_filter(noise, NEAR, mode="wrap")
    return np.asarray((blurred - blurred.min()) / np.ptp(blurred), np.float32)


def main(arguments: Sequence[str]) -> None:
    bundle = open_bundle(Path(arguments[0] if arguments else "models/demo"))
    count = int(arguments[1]) if len(arguments) > 1 else 200
    network = load_network(bundle.path(bundle.manifest.explainer), None)
    output = bundle.manifest.labels.index("Pneumonia")
    phantoms = [make_phantom(seed, opacity=True) for seed in range(count)]
    pixels = np.stack([phantom.pixels for phantom in phantoms])[:, None]
    print(f"{count} held-out phantoms with an opacity")
    noise = [blurred_random(seed) for seed in range(count)]
    print(f"{'':12} {'random':10} {localisation(noise, phantoms)}", flush=True)
    for layer in reversed(LAYERS):
        maps: dict[str, list[np.ndarray]] = {method: [] for method in WEIGHTINGS}
        for start in range(0, count, BATCH):
            part = pixels[start : start + BATCH]
            found = differentiate(network, part, [output] * len(part), layer)
            for method, values in maps.items():
                values += [each.values for each in found.maps(method, layer)]
        for method, values in maps.items():
            print(f"{layer:12} {method:10} {localisation(values, phantoms)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
