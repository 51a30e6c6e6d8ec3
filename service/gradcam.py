"""Grad-CAM: where in the radiograph the score of a pathology came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from service.errors import UnknownTarget

STAGES = (
    "stem",
    "denseblock1",
    "transition1",
    "denseblock2",
    "transition2",
    "denseblock3",
    "transition3",
    "denseblock4",
    "norm5",
)
"""Children of the traced network, in the order in which it applies them."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """One class's heat map.

    Attributes:
        cam: float32 (7, 7), at least 0: the gradient-weighted sum of the feature maps.
        logit: The target's logit as PyTorch computes it.
    """

    cam: np.ndarray
    logit: float

    def normalised(self) -> np.ndarray:
        """The map divided by its peak, in [0, 1]; all zeros stay zeros."""
        peak = float(self.cam.max())
        return self.cam / peak if peak > 0 else self.cam


def target_index(target: str, labels: Sequence[str]) -> int:
    """The output that predicts `target`.

    Raises:
        UnknownTarget: These weights do not name it; the answer lists those that they name.
    """
    if target and target in labels:
        return labels.index(target)
    known = [label for label in labels if label]
    raise UnknownTarget(f"These weights predict no {target!r}.", known=known)


def gradcam(network: torch.jit.ScriptModule, pixels: np.ndarray, index: int) -> Explanation:
    """Grad-CAM of one output at the last convolutional feature maps.

    The maps are the 1024 x 7 x 7 features after the final norm and ReLU, the last layer that
    still knows where things are; their weights are the target's gradients averaged over the
    grid, and what speaks against the target is cut off (Selvaraju et al. 2017, equations 1, 2).

    Args:
        network: The bundle's traced network.
        pixels: float32 (1, 224, 224) in [0, 1].
        index: Which of the 18 outputs.
    """
    with torch.no_grad():
        features = (torch.from_numpy(pixels)[None] * 2 - 1) * 1024
        for name in STAGES:
            features = getattr(network, name)(features)
    features = F.relu(features).requires_grad_(True)
    with torch.enable_grad():
        logit = (network.classes(features).mean(dim=(2, 3)) + network.bias)[0, index]
        (gradient,) = torch.autograd.grad(logit, features)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    cam = F.relu((weights * features.detach()).sum(dim=1))[0]
    return Explanation(cam.numpy(), float(logit.detach()))
