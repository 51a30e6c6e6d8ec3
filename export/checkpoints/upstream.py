"""The only door to TorchXRayVision: its import, its published weights' facts, its own network."""

from __future__ import annotations

import importlib
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import torch

if TYPE_CHECKING:
    from export.checkpoints.weights import Weights


def _import_library() -> ModuleType:
    """Import torchxrayvision, mending what keeps it from being imported.

    A CPU build of torch beside the registry's CUDA build of torchvision leaves two operators
    without a schema, and torchvision's import fails. Nothing here calls them, so declaring them
    is enough; it is done only where the import fails for that reason.
    """
    # The library switches every warning of the process off when imported; that is undone here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("torchxrayvision")
        except RuntimeError as error:
            if "torchvision::nms" not in str(error):
                raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}",
                "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            )
        return importlib.import_module("torchxrayvision")


library: Any = _import_library()
"""The `torchxrayvision` package."""

LIBRARY_FOLDER = Path("~/.torchxrayvision/models_data")
"""Where the library itself keeps what it downloads (`torchxrayvision.utils.get_cache_dir`)."""


@dataclass(frozen=True)
class Official:
    """What is known of one set of published DenseNet-121 weights without having it.

    Attributes:
        name: The library's name for it.
        url: Where it is published.
        labels: One per output, "" where these weights predict nothing.
        operating_points: One per output, probabilities in (0, 1), NaN where none is published.
        size: Bytes of the published file, None where nobody published it.
        sha256: Hex digest of the published file, None where nobody published it.
    """

    name: str
    url: str
    labels: tuple[str, ...]
    operating_points: tuple[float, ...]
    size: int | None = None
    sha256: str | None = None

    @property
    def filename(self) -> str:
        """Name of the published file."""
        return PurePosixPath(urlsplit(self.url).path).name


_PINS = {
    "densenet121-res224-all": (
        28_382_008,
        "56524913dd16a906422e8d8b66a7a5c46be1d82eb7ac012d8103776f1aa68899",
    ),
}
"""Size and SHA-256 of the published files for which they are known."""


def _official() -> dict[str, Official]:
    found = {}
    for name, facts in library.models.model_urls.items():
        if name.startswith("densenet121-res224-"):
            size, sha256 = _PINS.get(name, (None, None))
            found[name] = Official(
                name=name,
                url=facts["weights_url"],
                labels=tuple(facts["labels"]),
                operating_points=tuple(float(point) for point in facts["op_threshs"]),
                size=size,
                sha256=sha256,
            )
    return found


OFFICIAL: dict[str, Official] = _official()
"""The seven published DenseNet-121 weights, read from `torchxrayvision.models.model_urls`."""

INPUT_RESOLUTION = 224
"""Side of the input in pixels (`input_resolution` of every `*-res224-*` entry upstream)."""


@lru_cache
def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in the state dict of the library's 18-output DenseNet."""
    with torch.device("meta"):
        network = library.models.DenseNet(weights=None)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


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
    """What the library's network says of a batch.

    Attributes:
        logits: float32 (N, 18), the classifier's output.
        probabilities: float32 (N, 18) in [0, 1], sigmoid of the logits.
        scores: float32 (N, 18) in [0, 1], the return value of the network's `forward`: op_norm of
            the probabilities, 0.5 where an output has no operating point.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    scores: np.ndarray


def run_eager(network: torch.nn.Module, pixels: np.ndarray) -> EagerAnswer:
    """Run the library's network on a batch the way the library's documentation says.

    The pixels go through `torchxrayvision.utils.normalize` and the network's own `forward`;
    the logits are picked up on their way through it, not computed a second time.

    Args:
        network: From `eager_network`.
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
    passed: list[torch.Tensor] = []
    hook = network.classifier.register_forward_hook(lambda _module, _in, out: passed.append(out))
    try:
        with torch.inference_mode():
            scores = network(scaled)
    finally:
        hook.remove()
    logits = passed[0]
    return EagerAnswer(logits.numpy(), torch.sigmoid(logits).numpy(), scores.numpy())
