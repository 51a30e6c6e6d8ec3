"""The first layers of a batch in pieces: the same network, run in another order."""

import numpy as np
import pytest

from export.demo.phantom import make_phantom
from service.network.bundle import read_manifest
from service.network.runtime.openvino_core import core
from service.network.runtime.split_graph import read_split

CONFIG = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
SIZE = 4


@pytest.fixture(scope="module")
def batch():
    return np.stack([make_phantom(seed, opacity=True).pixels for seed in range(SIZE)])[:, None]


def averages(model) -> list[int]:
    """Images that go through each average together, in order."""
    ops = model.get_ordered_ops()
    return [op.shape[0] for op in ops if op.get_type_name() == "AvgPool"]


@pytest.mark.parametrize("name", ["openvino-float32", "openvino-int8", "openvino-int8w7"])
@pytest.mark.parametrize("piece", [1, 2])
def test_outputs_stay_as_they_are_bit_for_bit(demo_bundle, batch, name, piece):
    """Cut into pieces up to the first average and whole from there on, a batch gets the logits and
    maps that it gets uncut, on any processor."""
    path = demo_bundle / read_manifest(demo_bundle).variant(*name.split("-")).files[0]
    cut, whole = (read_split(path, SIZE, at_once) for at_once in (piece, SIZE))
    assert averages(whole) == [SIZE] * 3
    assert averages(cut) == [piece] * (SIZE // piece) + [SIZE] * 2
    found, expected = (
        core().compile_model(model, "CPU", CONFIG)({"pixels": batch}) for model in (cut, whole)
    )
    for output in ("logits", "cams", "features"):
        np.testing.assert_array_equal(found[output], expected[output])
