"""A runtime for any batch size, made of models compiled for a few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from service.network.runtime import Outputs, Runtime, Step


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
        self.steps: Sequence[Step] = ()
        self.low_latency: Runtime = self

    @property
    def batches(self) -> tuple[int, ...] | None:
        return tuple(sorted(self._compiled))

    def add(self, size: int, runtime: Runtime) -> None:
        """Run batches of one more size at once from now on."""
        self._compiled = dict(sorted({**self._compiled, size: runtime}.items(), reverse=True))

    def run(self, pixels: np.ndarray) -> Outputs:
        compiled = self._compiled  # another thread may put another in its place
        if (whole := compiled.get(len(pixels))) is not None:
            return whole.run(pixels)
        cuts = [0, *_ends(len(pixels), compiled)]
        parts = [compiled[to - at].run(pixels[at:to]) for at, to in pairwise(cuts)]
        return Outputs(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.cams for part in parts]),
            np.concatenate([part.features for part in parts]),
        )


def _ends(images: int, sizes: Iterable[int]) -> Iterator[int]:
    """End of each part of a batch, the largest size that fits first."""
    at = 0
    for size in sizes:
        while images - at >= size:
            at += size
            yield at
