"""Class maps, and the class activation map that comes with a prediction."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

CAM = "cam"
LAST_LAYER = "norm5"
LAYERS = ("denseblock1", "denseblock2", "denseblock3", "denseblock4", LAST_LAYER)
"""Where a map may be taken: grids of 56, 28, 14, 7 and 7 cells a side.

`norm5` is the last: the features after the final norm and its ReLU, which the classifier reads.
"""


@dataclass(frozen=True, eq=False)
class ClassMap:
    """A map of the evidence for one target.

    Attributes:
        method: How it was computed.
        layer: One of `LAYERS`.
        values: float32 (n, n), at least 0, over the network's square input.
        logit: The target's logit, by the same pass that made the map.
        features: float32 (2560,), the image's features by that pass; empty where the image was
            judged by those of a prediction.
    """

    method: str
    layer: str
    values: np.ndarray
    logit: float
    features: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))

    @property
    def empty(self) -> bool:
        """Whether no cell is over 0, or one is not a number."""
        return not (np.isfinite(self.values).all() and self.values.any())

    def normalised(self) -> np.ndarray:
        """The map divided by its peak, in [0, 1]; all zeros where it is empty."""
        return np.zeros_like(self.values) if self.empty else self.values / self.values.max()


def class_activation_map(cams: np.ndarray, logits: np.ndarray, output: int) -> ClassMap:
    """The class activation map of one target, cut off at zero (Zhou et al. 2016).

    Equal to Grad-CAM at the last layer up to the factor n x n of its average, because nothing
    but that average and one linear layer follows (Selvaraju et al. 2017, section 3.1).

    Args:
        cams: float32 (18, 7, 7), one image's, from any runtime.
        logits: float32 (18,), the same image's.
        output: Which of the 18 outputs.
    """
    values = np.maximum(cams[output], 0).astype(np.float32, copy=False)
    return ClassMap(CAM, LAST_LAYER, values, float(logits[output]))
