"""The network that is exported, from pixels in [0, 1] to its outputs."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from service.explain.cam.class_map import LAST_LAYER
from service.explain.cam.gradients import FEATURES_BEHIND, STAGES


class ExportableNetwork(nn.Module):
    """TorchXRayVision's DenseNet-121 between a strict input range and three plain outputs.

    Its stages are children of their own names, so that a traced copy can be run stage by
    stage where a gradient at an inner layer is wanted.

    The classifier is applied before the average, not after it: with features f (1024, 7, 7),
    weights w and bias b of one class, mean(w . f) + b = w . mean(f) + b. The maps w . f are
    the class activation maps (Zhou et al. 2016), which at this layer are Grad-CAM before its
    ReLU, up to the factor 1/49 of the average (Selvaraju et al. 2017, section 3).

    For the same reason a transition averages before its 1 x 1 convolution, which has no bias, and
    not after it: both are linear, one over places and one over channels, so their order changes
    nothing but a quarter of the places are left to multiply. That is 8 % of the network's work.

    The features are what the layer behind each of the last three dense blocks takes from it, after
    batch norm and ReLU, averaged over the image: 512 channels, 1024 and 1024. They tell how unusual
    an image is (`service.network.gate`), for which those of the stem and of the first block only
    added noise. The last 1024 are the classifier's own input.

    Args:
        library: A `torchxrayvision.models.DenseNet` in evaluation mode; its tensors are shared.
    """

    def __init__(self, library: nn.Module) -> None:
        super().__init__()
        features = library.features
        self.stem = nn.Sequential(*(features[i] for i in range(4)))
        for name in ("denseblock1", "denseblock2", "denseblock3", "denseblock4", "norm5"):
            self.add_module(name, getattr(features, name))
        for number in (1, 2, 3):
            transition = getattr(features, f"transition{number}")
            steps = OrderedDict(norm=transition.norm, relu=transition.relu, pool=transition.pool)
            self.add_module(f"average{number}", nn.Sequential(steps))
            self.add_module(f"transition{number}", transition.conv)
        classes, channels = library.classifier.weight.shape
        self.classes = nn.Conv2d(channels, classes, kernel_size=1, bias=False)
        self.classes.weight = nn.Parameter(library.classifier.weight[:, :, None, None])
        self.bias = nn.Parameter(library.classifier.bias)
        self.eval().requires_grad_(False)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Score a batch.

        Args:
            pixels: float32 (N, 1, 224, 224) in [0, 1].

        Returns:
            `logits` (N, 18), `cams` (N, 18, 7, 7) and `features` (N, 2560).
        """
        images = (pixels * 2 - 1) * 1024
        features = []
        for name in STAGES:
            images = getattr(self, name)(images)
            if name == LAST_LAYER:
                images = F.relu(images)
            if name in FEATURES_BEHIND:
                features.append(images.mean(dim=(2, 3)))
        cams = self.classes(images)
        return cams.mean(dim=(2, 3)) + self.bias, cams, torch.cat(features, dim=1)
