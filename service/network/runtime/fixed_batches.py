"""A runtime for any batch size, made of models compiled for a few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from service.network.runtime import Outputs, Runtime


class FixedBatches:
    """Runs a batch of any size as batches of the compiled sizes.

    Where every size is known, a compiler lays out the memory and chooses the kernels of each layer
    once and for all. For sizes in between it does not pay to have one compiled: the images of a
    batch that is not full are run one by one, at hardly more than what each costs in a batch.

    Args:
        compiled: A runtime for each size, one of them for a single image.
    """

    def __init__(self, compiled: Mapping[int, Runtime]) -> None:
        self._compiled = dict(sorted(compiled.items(), reverse=True))
        one = compiled[1]
        self.placement = one.placement
        self.slots = one.slots
        self.spare = one.spare
        self.batches: tuple[int, ...] | None = tuple(sorted(compiled))
        self.low_latency: Runtime = self

    def run(self, pixels: np.ndarray) -> Outputs:
        if (whole := self._compiled.get(len(pixels))) is not None:
            return whole.run(pixels)
        cuts = [0, *self._ends(len(pixels))]
        parts = [self._compiled[to - at].run(pixels[at:to]) for at, to in pairwise(cuts)]
        return Outputs(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.cams for part in parts]),
            np.concatenate([part.features for part in parts]),
        )

    def _ends(self, images: int) -> Iterator[int]:
        """End of each part of a batch, the largest size that fits first."""
        at = 0
        for size in self._compiled:
            while images - at >= size:
                at += size
                yield at
