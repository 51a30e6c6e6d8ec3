"""The seam between the service and whatever runs the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np

from service.bundle import Bundle, Variant
from service.errors import BundleRefused
from service.scores import sigmoid


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the network says of a batch.

    Attributes:
        logits: float32 (N, 18).
        cams: float32 (N, 18, 7, 7), class activation maps: their mean over the grid plus
            the classifier's bias is the logit.
    """

    logits: np.ndarray
    cams: np.ndarray


class Runtime(Protocol):
    """Runs one variant of the network. Safe to call from several threads."""

    def run(self, pixels: np.ndarray) -> Outputs:
        """Score float32 (N, 1, 224, 224) in [0, 1]; a row's answer is its own."""
        ...


_MODULES = {
    "onnxruntime": "service.runtime.onnx_runtime",
    "torchscript": "service.runtime.torchscript",
}


def load_runtime(folder: Path, variant: Variant, threads: int | None = None) -> Runtime:
    """Load a variant from a bundle's folder, without proving anything.

    Args:
        folder: Where the variant's files are.
        variant: What to load.
        threads: Threads for one run; None leaves it to what the process may use.

    Raises:
        BundleRefused: The runtime is not here or cannot load the file.
    """
    try:
        module = import_module(_MODULES[variant.runtime])
    except (KeyError, ImportError) as error:
        raise BundleRefused(f"{variant.runtime} is not installed here") from error
    open_variant: Callable[[Path, int | None], Runtime] = module.open_variant
    return open_variant(folder / variant.files[0], threads)


def open_runtime(bundle: Bundle, variant: Variant, threads: int | None = None) -> Runtime:
    """Load a variant of a verified bundle and prove it on the golden pair.

    Raises:
        BundleRefused: The runtime is not here, cannot load the file, or answers the golden
            input otherwise than the library did.
    """
    runtime = load_runtime(bundle.folder, variant, threads)
    prove(runtime, bundle, variant)
    return runtime


def prove(runtime: Runtime, bundle: Bundle, variant: Variant) -> float:
    """Run the golden input and compare with the library's answer.

    Returns:
        The largest |probability difference| over all outputs.

    Raises:
        BundleRefused: It is over the variant's tolerance, or not a number.
    """
    pixels, logits = bundle.golden_pair()
    drift = float(np.max(np.abs(sigmoid(runtime.run(pixels).logits) - sigmoid(logits))))
    if not drift <= variant.golden_tolerance:
        raise BundleRefused(
            f"{variant.name} answers the golden input with a probability {drift:.4g} away from "
            f"the library's, over {variant.golden_tolerance:.4g}: not to be trusted here"
        )
    return drift
