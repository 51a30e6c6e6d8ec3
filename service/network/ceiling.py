"""Peak arithmetic rate of this machine's cores, measured by a large matrix product."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from service.settings import Precision

GFLOP_PER_IMAGE = 5.7
"""Multiplications and additions of DenseNet-121 on one 224 x 224 image with one channel."""

SIDE = 2048
ROUNDS = 15


@dataclass(frozen=True)
class Ceiling:
    """Peak rate in one precision.

    Attributes:
        precision: Precision of the product.
        gflops: Thousand million multiplications and additions a second.
    """

    precision: Precision
    gflops: float

    @property
    def images_per_second(self) -> float:
        """Images a second at this rate."""
        return self.gflops / GFLOP_PER_IMAGE


def measure_ceiling(precision: Precision, threads: int) -> Ceiling:
    """Time a product of two 2048 x 2048 matrices by OpenVINO, the best of several runs."""
    import openvino
    from openvino import opset13 as ops

    from service.network.runtime.openvino_core import core

    rng = np.random.default_rng(0)
    right = rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
    left = ops.parameter([SIDE, SIDE], np.float32, name="left")
    factors = [left, ops.constant(right)]
    eight_bits = precision in ("int8", "int8w7")
    if eight_bits:
        factors = [_quantised(factors[0], 256), _quantised(factors[1], 255)]
    product = ops.matmul(factors[0], factors[1], False, False)
    if eight_bits:  # or writing float32 results would be most of the time
        product = _quantised(ops.relu(product), 256)
    model = openvino.Model([ops.result(product)], [left])
    hint = "bf16" if precision == "bfloat16" else "f32"
    compiled = core().compile_model(
        model, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint}
    )
    request = compiled.create_infer_request()
    values = rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        request.infer([values], share_inputs=True)
        taken.append(time.perf_counter() - start)
    best = statistics.quantiles(taken, n=5)[0]
    return Ceiling(precision, 2 * SIDE**3 / best / 1e9)


def _quantised(value: object, levels: int) -> object:
    from openvino import opset13 as ops

    low, high = (np.float32(-1), np.float32(1 if levels == 255 else 127 / 128))
    ends = [ops.constant(low), ops.constant(high)]
    return ops.fake_quantize(value, *ends, *ends, levels)
