"""The weightings of activations by gradients, one function per method."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

Weighting = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(activations, gradients), both float32 (N, C, n, n), to the map before its ReLU, (N, n, n)."""

GRADCAM_PP_EPSILON = 1e-6
"""Added to Grad-CAM++'s denominator, as pytorch-grad-cam does, so that a channel whose gradient
fades counts for less and less instead of being divided by nearly nothing."""


def gradcam(activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """Channels weighted by their mean gradient (Selvaraju et al. 2017, equations 1 and 2)."""
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1)


def gradcam_pp(activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """Channels weighted by their positive gradients, each in its share of the evidence.

    Chattopadhay et al. 2018, equations 10 and 19 for an exponential of the score, where the
    second and third derivatives are powers of the first.
    """
    squares = gradients**2
    mass = activations.sum(dim=(2, 3), keepdim=True)
    denominator = 2 * squares + mass * squares * gradients + GRADCAM_PP_EPSILON
    shares = torch.where(gradients != 0, squares / denominator, torch.zeros_like(gradients))
    weights = (shares * F.relu(gradients)).sum(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1)


def hirescam(activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """Each cell weighted by its own gradient (Draelos and Carin 2020, equation 5)."""
    return (gradients * activations).sum(dim=1)


def layercam(activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """Each cell weighted by its own gradient where that is positive (Jiang et al. 2021, eq. 5)."""
    return (F.relu(gradients) * activations).sum(dim=1)


WEIGHTINGS: dict[str, Weighting] = {
    "gradcam": gradcam,
    "gradcam++": gradcam_pp,
    "hirescam": hirescam,
    "layercam": layercam,
}
