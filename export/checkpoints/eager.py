"""The library's own network, run by PyTorch eagerly: what every export is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from export.checkpoints.upstream import INPUT_RESOLUTION, library
from export.checkpoints.weights import Weights


def eager_network(weights: Weights) -> torch.nn.Module:
    """Build the library's own network, as `xrv.models.DenseNet(weights=NAME)` would hand it out.

    Args:
        weights: Verified weights; their state lacks nothing but `num_batches_tracked`, which
            only counts training steps.

    Returns:
        A `torchxrayvision.models.DenseNet` in evaluation mode that takes pixels in
        [-1024, 1024] and whose `forward` answers scores (N, 18).
    """
    network = library.models.DenseNet(weights=None)
    keys = network.load_state_dict(weights.state, strict=False)
    lacking = [key for key in keys.missing_keys if not key.endswith("num_batches_tracked")]
    if lacking or keys.unexpected_keys:
        raise ValueError(f"state dict: missing {lacking}, unexpected {keys.unexpected_keys}")
    network.targets = list(weights.labels)
    network.pathologies = network.targets
    network.op_threshs = torch.tensor(weights.operating_points, dtype=torch.float32)
    network.input_resolution = INPUT_RESOLUTION
    return network.eval()


@dataclass(frozen=True, eq=False)
class EagerAnswer:
    """Outputs of the library's network for a batch.

    Attributes:
        logits: float32 (N, 18), the classifier's output.
        probabilities: float32 (N, 18) in [0, 1], sigmoid of the logits.
        scores: float32 (N, 18) in [0, 1], the return value of the network's `forward`: op_norm of
            the probabilities, 0.5 where an output has no operating point.
        features: float32 (N, 2560), activations behind the last three dense blocks, after the next
            batch norm and ReLU, averaged over the image.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    scores: np.ndarray
    features: np.ndarray


def run_eager(network: torch.nn.Module, pixels: np.ndarray) -> EagerAnswer:
    """Run the library's network on a batch the way the library's documentation says.

    The pixels go through `torchxrayvision.utils.normalize` and the network's own `forward`;
    the logits are picked up on their way through it, not computed a second time.

    Args:
        network: From `eager_network`; its numbers may be of another type, and then so are the
            outputs.
        pixels: float32 (N, 1, 224, 224) in [0, 1], dense tissue bright.

    Raises:
        ValueError: Pixels of another shape or range.
    """
    side = INPUT_RESOLUTION
    if pixels.ndim != 4 or pixels.shape[1:] != (1, side, side) or not len(pixels):
        raise ValueError(f"pixels must be (N, 1, {side}, {side}), not {pixels.shape}")
    if not (pixels.min() >= 0 and pixels.max() <= 1):  # written so that NaN fails too
        raise ValueError("pixels must lie in [0, 1]")
    # The library prints a guess about normalisation on the first batch that it sees in a
    # process. The range is certain here, and the guess is wrong for dark or bright images.
    library.utils.warning_log["norm_check"] = True
    scaled = torch.from_numpy(library.utils.normalize(pixels, maxval=1.0))
    scaled = scaled.to(next(network.parameters()).dtype)
    blocks = network.features
    # Of the last layer the ReLU is a function, so what passes is before it; another ReLU behind
    # that of a transition changes nothing.
    layers = (blocks.transition2.relu, blocks.transition3.relu, blocks.norm5, network.classifier)
    passed: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _module, _in, out: passed.append(out.clone()))
        for layer in layers
    ]
    try:
        with torch.inference_mode():
            scores = network(scaled)
    finally:
        for hook in hooks:
            hook.remove()
    *activations, logits = passed
    averages = [torch.relu(each).mean(dim=(2, 3)) for each in activations]
    return EagerAnswer(
        logits.numpy(),
        torch.sigmoid(logits).numpy(),
        scores.numpy(),
        torch.cat(averages, dim=1).numpy(),
    )
