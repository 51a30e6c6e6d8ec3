"""Running a batch so that a failure concerns one image only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from service.errors import InferenceFailed
from service.radiograph.preprocess import pixel_digest


class BatchOutputs(Protocol):
    """Outputs of a batch, one row per image."""

    @property
    def logits(self) -> np.ndarray: ...

    @property
    def cams(self) -> np.ndarray: ...

    @property
    def features(self) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class BatchPart:
    """Consecutive images of a batch that were run together.

    Attributes:
        size: How many; 1 where it failed.
        started: When, on the monotonic clock.
        ran: Seconds that it took.
        outputs: What the network said of them, or why it said nothing.
    """

    size: int
    started: float
    ran: float
    outputs: BatchOutputs | InferenceFailed


def rows(outputs: BatchOutputs) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Logits, class activation maps and features of each image of a batch."""
    return zip(outputs.logits, outputs.cams, outputs.features, strict=True)


def run_isolated(
    run: Callable[[np.ndarray], BatchOutputs], images: Sequence[np.ndarray]
) -> Iterator[BatchPart]:
    """Run a batch; where it fails, run its halves, down to single images.

    Args:
        run: Scores float32 (N, 1, 224, 224).
        images: float32 (1, 224, 224) each.

    Yields:
        Parts, in order, that are the batch when put together; the whole in one where it ran.
    """
    started = time.monotonic()
    try:
        outputs = run(np.stack(images))
    except Exception as error:  # whatever a runtime raises, it concerns one image at the most
        if len(images) > 1:
            half = len(images) // 2
            yield from run_isolated(run, images[:half])
            yield from run_isolated(run, images[half:])
            return
        fault = InferenceFailed(
            "The network could not be run on this image.", sha256_pixels=pixel_digest(images[0])
        )
        fault.__cause__ = error
        yield BatchPart(1, started, time.monotonic() - started, fault)
        return
    yield BatchPart(len(images), started, time.monotonic() - started, outputs)
