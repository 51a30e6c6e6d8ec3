"""TorchXRayVision: its import and the facts of its published weights."""

from __future__ import annotations

import importlib
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import torch


def _import_library() -> ModuleType:
    """Import torchxrayvision, with a workaround for a CPU torch beside a CUDA torchvision.

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
    """Published facts of one set of DenseNet-121 weights.

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
