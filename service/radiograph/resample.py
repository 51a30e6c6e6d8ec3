"""Antialiased bilinear resampling, equal to the resize inside TorchXRayVision's networks.

The filter is the triangle of `torch.nn.functional.interpolate(mode="bilinear",
antialias=True)`: its half-width is the scale (source pixels to one of the output) and at
least 1, weights are renormalised at the borders. Pillow has the same filter, but on 8 bits it
rounds after each of its two passes, and for anything else it wants a float copy of the whole
image. Here each band of rows becomes float only while a small matrix product reads it, so 8
and 16 bits cost the same and nothing is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from service.radiograph.rectangle import Rectangle

_BAND = 40
"""Source rows read for one product, about: few, so that they stay in the processor's cache."""

_SMALL_PRODUCT = 2**18
"""Multiplications up to which OpenBLAS stays in the calling thread (65536 times its
GEMM_MULTITHREAD_THRESHOLD of 4). Above it, its threads spin and wait for each other at every one
of these small products, which under load costs ten times the work itself."""


@dataclass(frozen=True)
class _Band:
    """Neighbouring output pixels and what makes them.

    Attributes:
        made: The output pixels.
        read: The source pixels that they need.
        weights: float32 (made, read), rows adding up to 1.
    """

    made: slice
    read: slice
    weights: np.ndarray


@lru_cache(maxsize=64)
def _bands(
    start: float, length: float, black_before: int, black_from: int, side: int, at_once: int
) -> tuple[_Band, ...]:
    """Resize `length` source pixels from `start` on to `side`, `at_once` a band.

    Source pixels before `black_before` and from `black_from` on are black and not read.

    Kept, as the images of one place have few sizes: working them out takes half as long as using
    them, and longer for small images.
    """
    scale = length / side
    support = max(scale, 1.0)
    low, high = int(np.floor(start)), int(np.ceil(start + length - 1e-9))
    centre = start + (np.arange(side) + 0.5) * scale
    first = np.maximum(np.floor(centre - support + 0.5).astype(np.int64), low)
    reach = int(np.ceil(2 * support)) + 1
    at = first[:, None] + np.arange(reach)
    weights = np.maximum(1 - np.abs(at + 0.5 - centre[:, None]) / support, 0.0)
    weights[at >= high] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    weights[(at < black_before) | (at >= black_from)] = 0.0
    bands = []
    for begin in range(0, side, at_once):
        made = slice(begin, min(begin + at_once, side))
        needed = slice(int(first[begin]), min(int(first[made.stop - 1]) + reach, high))
        dense = np.zeros((made.stop - begin, needed.stop - needed.start + reach), np.float32)
        np.put_along_axis(dense, at[made] - needed.start, weights[made].astype(np.float32), axis=1)
        start_read = min(max(needed.start, black_before), black_from)
        read = slice(start_read, max(start_read, min(needed.stop, black_from)))
        columns = slice(read.start - needed.start, read.stop - needed.start)
        bands.append(_Band(made, read, dense[:, columns]))
    return tuple(bands)


def resample(
    pixels: np.ndarray,
    box: tuple[float, float, float],
    side: int,
    inside: Rectangle | None = None,
) -> np.ndarray:
    """Resize a square of an image.

    Args:
        pixels: (rows, columns) of any real number type.
        box: Left, top and side of the square, in pixels; may be fractional. Pixels outside it
            have no say, as if the image had been cropped first.
        side: Side of the output.
        inside: What there is of the image; the square may reach past it, where all is black, and
            pixels outside it are black too. The whole image where left out.

    Returns:
        float32 (side, side), in the unit of `pixels`.
    """
    left, top, length = box
    rows, columns = pixels.shape
    at_pixels = length == side and (left, top) == (int(left), int(top))
    if at_pixels and inside is None:  # every weight is 0 or 1
        square = slice(int(top), int(top) + side), slice(int(left), int(left) + side)
        return pixels[square].astype(np.float32)
    inside = inside or Rectangle(0, 0, columns, rows)
    # A band of n columns reads about (n + 2) * scale, so its product grows with n squared.
    wide = int((_SMALL_PRODUCT / (side * max(length / side, 1.0)) + 1) ** 0.5 - 1)
    across = _bands(left, length, inside.left, inside.right, side, max(1, wide))
    first, stop = across[0].read.start, across[-1].read.stop
    middle = np.empty((side, columns), np.float32)
    at_once = max(4, int(_BAND * side / length))
    for band in _bands(top, length, inside.top, inside.bottom, side, at_once):
        step = max(1, _SMALL_PRODUCT // max(1, band.weights.size))
        for at in range(first, stop, step):
            part = slice(at, min(at + step, stop))
            source = pixels[band.read, part].astype(np.float32)
            np.matmul(band.weights, source, out=middle[band.made, part])
    result = np.empty((side, side), np.float32)
    for band in across:
        result[:, band.made] = middle[:, band.read] @ band.weights.T
    return result
