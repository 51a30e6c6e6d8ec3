"""Class maps from gradients, computed by PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from service.explain.cam.class_map import LAST_LAYER, ClassMap
from service.explain.cam.weighting import WEIGHTINGS

STAGES = (
    "stem",
    "denseblock1",
    "average1",
    "transition1",
    "denseblock2",
    "average2",
    "transition2",
    "denseblock3",
    "average3",
    "transition3",
    "denseblock4",
    "norm5",
)
"""Children of the traced network, in the order in which it applies them; export makes them so."""

FEATURES_BEHIND = ("average2", "average3", "norm5")
"""Stages whose outputs, the last behind its ReLU, are averaged into the network's features."""

BATCH = 4
"""Images differentiated at a time; more gain no speed on a CPU and cost memory."""


@dataclass(frozen=True, eq=False)
class Differentiated:
    """Activations of one layer for a batch, and the targets' gradients there.

    Attributes:
        activations: float32 (N, C, n, n).
        gradients: float32 (N, C, n, n), of each image's own target.
        logits: float32 (N,), of each image's own target.
        features: float32 (N, 2560), as the whole network gives them.
    """

    activations: torch.Tensor
    gradients: torch.Tensor
    logits: torch.Tensor
    features: torch.Tensor

    def maps(self, method: str, layer: str) -> list[ClassMap]:
        """Weigh the activations by a method of `WEIGHTINGS`; one map an image."""
        with torch.no_grad():
            values = F.relu(WEIGHTINGS[method](self.activations, self.gradients))
        return [
            ClassMap(method, layer, each.numpy(), float(logit), features.numpy())
            for each, logit, features in zip(values, self.logits, self.features, strict=True)
        ]


def class_maps(
    network: torch.jit.ScriptModule,
    pixels: np.ndarray,
    outputs: Sequence[int],
    method: str,
    layer: str = LAST_LAYER,
) -> tuple[ClassMap, ...]:
    """One map an image, from the activations of a layer and the target's gradients there.

    Memory is bounded by `BATCH`, whatever N. No state is kept and no hook is set: concurrent
    calls on one network do not see each other.

    Args:
        network: The bundle's traced network, its parameters frozen.
        pixels: float32 (N, 1, 224, 224) in [0, 1].
        outputs: N of the 18 outputs, the target of each image.
        method: A key of `WEIGHTINGS`.
        layer: One of `classmap.LAYERS`.
    """
    found: list[ClassMap] = []
    for start in range(0, len(pixels), BATCH):
        part = slice(start, start + BATCH)
        found += differentiate(network, pixels[part], outputs[part], layer).maps(method, layer)
    return tuple(found)


def differentiate(
    network: torch.jit.ScriptModule, pixels: np.ndarray, outputs: Sequence[int], layer: str
) -> Differentiated:
    """Run a batch to a layer without gradients and from there to the logits with them.

    Args:
        network: As for `class_maps`, like the others.
        pixels: float32 (N, 1, 224, 224) in [0, 1].
        outputs: N of the 18 outputs.
        layer: One of `classmap.LAYERS`.
    """
    split = STAGES.index(layer) + 1
    # The profiling executor would compile each stage anew for gradients, for seconds, in the
    # middle of the first requests; the plain interpreter is as fast here.
    features: list[torch.Tensor] = []

    def apply(name: str, images: torch.Tensor) -> torch.Tensor:
        images = getattr(network, name)(images)
        if name == LAST_LAYER:
            # Here and nowhere else: a second ReLU would pass no gradient to cells that the first
            # set to zero, although the classifier's weight there is what it is everywhere.
            images = F.relu(images)
        if name in FEATURES_BEHIND:
            features.append(images.detach().mean(dim=(2, 3)))
        return images

    with torch.jit.optimized_execution(False):
        with torch.no_grad():
            activations = (torch.from_numpy(pixels) * 2 - 1) * 1024
            for name in STAGES[:split]:
                activations = apply(name, activations)
        with torch.enable_grad():
            activations.requires_grad_(True)
            last = activations
            for name in STAGES[split:]:
                last = apply(name, last)
            logits = network.classes(last).mean(dim=(2, 3)) + network.bias
            chosen = logits[torch.arange(len(pixels)), torch.tensor(outputs)]
            (gradients,) = torch.autograd.grad(chosen.sum(), activations)
    return Differentiated(
        activations.detach(), gradients, chosen.detach(), torch.cat(features, dim=1)
    )
