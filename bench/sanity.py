"""Whether a heat map depends on what the network learned (Adebayo et al. 2018).

    python -m bench.sanity [BUNDLE] [IMAGES] [FOLDER]

Without a FOLDER of radiographs, phantoms with an opacity are measured. The classifier and the
last dense block with its norm are drawn anew, as a fresh network would have them; a map that
stays as it was shows edges of the image, not evidence. Prints the rank correlation of the maps
before and after, median over the images, for each method and layer. A pair of which one map is
empty has no rank correlation: it is counted and replaced by another.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from export.bundle.check_images import folder
from export.demo.phantom import make_phantom
from service.explain.cam.class_map import LAYERS
from service.explain.cam.gradients import differentiate
from service.explain.cam.weighting import WEIGHTINGS
from service.network.bundle import open_bundle
from service.network.runtime.torchscript import load_network

RANDOMISED = ("denseblock4", "norm5", "classes")
LIMIT = 0.5
"""Rank correlation from which a method counts as blind to the weights."""

SPARE = 30
"""Phantoms beyond those asked for, to replace pairs of which one map is empty."""

IMAGES_A_DRAW = 10
"""Images that share one randomised network: one draw alone could be lucky for all of them."""


@dataclass(frozen=True)
class Sanity:
    """Rank correlations of one method at one layer, and how many pairs had none."""

    method: str
    layer: str
    correlations: tuple[float, ...]
    empty: int

    @property
    def median(self) -> float:
        return float(np.median(self.correlations)) if self.correlations else math.nan


def randomise(network: torch.jit.ScriptModule, seed: int) -> None:
    """Draw the last block, its norm and the classifier anew, in place.

    Convolutions as torchvision's DenseNet draws them (He normal), norms as the identity with
    fresh running statistics, the classifier uniform in +-1/sqrt(inputs) with no bias.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in RANDOMISED:
            stage = getattr(network, part)
            for name, tensor in [*stage.named_parameters(), *stage.named_buffers()]:
                if tensor.ndim == 4:
                    inputs = math.prod(tensor.shape[1:])
                    if part == "classes":
                        tensor.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
                    else:
                        tensor.normal_(0, math.sqrt(2 / inputs), generator=generator)
                elif name.endswith(("bias", "running_mean")):
                    tensor.zero_()
                elif name.endswith(("weight", "running_var")):
                    tensor.fill_(1)
        network.bias.zero_()


def pairs(
    graph: Path, pixels: np.ndarray, output: int, layer: str, images_a_draw: int
) -> Iterator[dict[str, tuple[np.ndarray, np.ndarray]]]:
    """For each image and method, the map before and after randomising.

    Args:
        graph: The bundle's TorchScript file.
        pixels: float32 (N, 1, 224, 224).
        output: The target.
        layer: Where the maps are taken.
        images_a_draw: Images that share one randomised network.
    """
    learned = load_network(graph, None)
    for draw, start in enumerate(range(0, len(pixels), images_a_draw)):
        fresh = load_network(graph, None)
        randomise(fresh, draw)
        part = pixels[start : start + images_a_draw]
        targets = [output] * len(part)
        before = differentiate(learned, part, targets, layer)
        after = differentiate(fresh, part, targets, layer)
        maps = {m: (before.maps(m, layer), after.maps(m, layer)) for m in WEIGHTINGS}
        for i in range(len(part)):
            yield {m: (old[i].values, new[i].values) for m, (old, new) in maps.items()}


def sanity(
    graph: Path,
    pixels: np.ndarray,
    output: int,
    layer: str,
    images: int,
    images_a_draw: int = IMAGES_A_DRAW,
) -> tuple[Sanity, ...]:
    """Measure every method at one layer on the first `images` pairs that have a correlation."""
    correlations: dict[str, list[float]] = {method: [] for method in WEIGHTINGS}
    empty = dict.fromkeys(WEIGHTINGS, 0)
    for pair in pairs(graph, pixels, output, layer, images_a_draw):
        for method, (before, after) in pair.items():
            if len(correlations[method]) == images:
                continue
            if before.any() and after.any():
                correlations[method].append(float(spearmanr(before.ravel(), after.ravel())[0]))
            else:
                empty[method] += 1
        if all(len(found) == images for found in correlations.values()):
            break
    return tuple(Sanity(m, layer, tuple(correlations[m]), empty[m]) for m in WEIGHTINGS)


def shuffled(pixels: np.ndarray) -> np.ndarray:
    """The images in a seeded order: a folder's own order puts the classes one after another."""
    return pixels[np.random.default_rng(0).permutation(len(pixels))]


def main(arguments: Sequence[str]) -> None:
    bundle = open_bundle(Path(arguments[0] if arguments else "models/demo"))
    images = int(arguments[1]) if len(arguments) > 1 else 50
    output = bundle.manifest.labels.index("Pneumonia")
    if len(arguments) > 2:
        pixels = shuffled(folder(Path(arguments[2])).pixels)
    else:
        drawn = [make_phantom(seed, opacity=True).pixels for seed in range(images + SPARE)]
        pixels = np.stack(drawn)[:, None]
    print(f"layer        method     median rank correlation over {images} images, limit {LIMIT}")
    for layer in reversed(LAYERS):
        graph = bundle.path(bundle.manifest.explainer)
        for found in sanity(graph, pixels, output, layer, images):
            verdict = "passes" if found.median < LIMIT else "FAILS"
            print(
                f"{layer:12} {found.method:10} {found.median:6.3f}  {verdict}  "
                f"({len(found.correlations)} pairs, {found.empty} with an empty map)",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
