"""A network compiled for a few batch sizes answers batches of any."""

from __future__ import annotations

import numpy as np
import pytest

from service.network.runtime import Outputs, Placement, batch_sizes
from service.network.runtime.fixed_batches import FixedBatches


class Exactly:
    """A runtime for batches of one size; an image's logits are its first pixel."""

    slots = 1
    spare = 0
    steps = ()
    batches = None
    placement = Placement(1)

    def __init__(self, size: int, noted: list[int]) -> None:
        self.size = size
        self.noted = noted

    @property
    def low_latency(self):
        return self

    def run(self, pixels):
        assert len(pixels) == self.size
        self.noted.append(self.size)
        logits = np.repeat(pixels[:, 0, 0, :1], 18, axis=1)
        maps = np.repeat(logits, 49, axis=1).reshape(-1, 18, 7, 7)
        return Outputs(logits, maps, logits)


@pytest.mark.parametrize(
    ("images", "pieces"),
    [(1, [1]), (3, [1, 1, 1]), (4, [4]), (6, [4, 1, 1]), (9, [4, 4, 1])],
)
def test_a_batch_is_run_in_pieces_that_are_compiled(images, pieces):
    """The largest piece that fits comes first, and every image gets its own answer, in order."""
    noted: list[int] = []
    runtime = FixedBatches({size: Exactly(size, noted) for size in (1, 4)})
    pixels = np.arange(images, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 224, 224))
    outputs = runtime.run(pixels)
    assert noted == pieces
    np.testing.assert_array_equal(outputs.logits[:, 17], np.arange(images))
    np.testing.assert_array_equal(outputs.cams[:, 17, 6, 6], np.arange(images))
    np.testing.assert_array_equal(outputs.features[:, 17], np.arange(images))


@pytest.mark.parametrize(("most", "sizes"), [(1, (1,)), (3, (1,)), (4, (1, 4)), (64, (1, 4))])
def test_a_limit_on_the_batch_leaves_sizes_out(most, sizes):
    """A runtime is never given more images than the limit, nor a size that it is not made for."""
    runtime = FixedBatches({size: Exactly(size, []) for size in (1, 4)})
    assert batch_sizes(runtime, most) == sizes


def test_a_runtime_for_any_size_gets_any():
    """Up to the limit."""
    assert batch_sizes(Exactly(1, []), 3) == (1, 2, 3)


def test_a_size_that_is_added_is_taken_from_then_on():
    """Answers need the single size alone; every other one makes them quicker once it is there."""
    noted: list[int] = []
    runtime = FixedBatches({1: Exactly(1, noted)})
    pixels = np.zeros((4, 1, 224, 224), np.float32)
    runtime.run(pixels)
    runtime.add(4, Exactly(4, noted))
    runtime.run(pixels)
    assert (noted, runtime.batches) == ([1, 1, 1, 1, 4], (1, 4))
