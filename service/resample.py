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

import numpy as np

_BAND = 40
"""Source rows read for one product, about: few, so that they stay in the processor's cache."""

_SMALL_PRODUCT = 2**18
"""Multiplications up to which OpenBLAS stays in the calling thread (65536 times its
GEMM_MULTITHREAD_THRESHOLD of 4). Above it, its threads spin and wait for each other at every one
of these small products, which under load costs ten times the work itself."""


@dataclass(frozen=True)
class _Taps:
    """Which source pixels make each output pixel.

    Attributes:
        first: int (n,), the first source pixel of each output pixel.
        weights: float32 (n, k), adding up to 1; zero past the last source pixel.
        stop: One past the last source pixel of all.
    """

    first: np.ndarray
    weights: np.ndarray
    stop: int

    def band(self, start: int, end: int) -> tuple[slice, np.ndarray]:
        """Source pixels and dense weights of the output pixels from `start` to `end`."""
        width = self.weights.shape[1]
        low = int(self.first[start])
        high = min(int(self.first[end - 1]) + width, self.stop)
        dense = np.zeros((end - start, high - low + width), np.float32)
        at = self.first[start:end, None] - low + np.arange(width)
        dense[np.arange(end - start)[:, None], at] = self.weights[start:end]
        return slice(low, high), dense[:, : high - low]


def _taps(start: float, length: float, n: int, side: int) -> _Taps:
    scale = length / side
    support = max(scale, 1.0)
    low, high = int(start), min(n, int(np.ceil(start + length - 1e-9)))
    centre = start + (np.arange(side) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), low)
    reach = int(np.ceil(2 * support)) + 1
    at = first[:, None] + np.arange(reach)
    weights = np.maximum(1 - np.abs(at + 0.5 - centre[:, None]) / support, 0.0)
    weights[at >= high] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    return _Taps(first, weights.astype(np.float32), high)


def resample(pixels: np.ndarray, box: tuple[float, float, float], side: int) -> np.ndarray:
    """Resize a square of an image.

    Args:
        pixels: (rows, columns) of any real number type.
        box: Left, top and side of the square, in pixels; may be fractional. Pixels outside it
            have no say, as if the image had been cropped first.
        side: Side of the output.

    Returns:
        float32 (side, side), in the unit of `pixels`.
    """
    left, top, length = box
    rows, columns = pixels.shape
    if length == side and (left, top) == (int(left), int(top)):  # every weight is 0 or 1
        inside = slice(int(top), int(top) + side), slice(int(left), int(left) + side)
        return pixels[inside].astype(np.float32)
    down = _taps(top, length, rows, side)
    across = down if (left, columns) == (top, rows) else _taps(left, length, columns, side)
    first, stop = int(across.first[0]), across.stop
    middle = np.empty((side, columns), np.float32)
    at_once = max(4, int(_BAND * side / length))
    for start in range(0, side, at_once):
        end = min(start + at_once, side)
        band, weights = down.band(start, end)
        step = max(1, _SMALL_PRODUCT // weights.size)
        for at in range(first, stop, step):
            part = slice(at, min(at + step, stop))
            np.matmul(weights, pixels[band, part].astype(np.float32), out=middle[start:end, part])
    result = np.empty((side, side), np.float32)
    # A band of n columns reads about (n + 2) * scale, so the product grows with n squared.
    wide = _SMALL_PRODUCT / (side * max(length / side, 1.0))
    step = max(1, int((wide + 1) ** 0.5 - 1))
    for start in range(0, side, step):
        end = min(start + step, side)
        band, weights = across.band(start, end)
        result[:, start:end] = middle[:, band] @ weights.T
    return result
