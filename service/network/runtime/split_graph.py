"""Splitting the first layers of a batch into smaller batches, for OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
from openvino import opset13

from service.network.runtime.openvino_core import core


def read_split(path: Path, images: int, piece: int) -> openvino.Model:
    """Read the network for one batch size, the layers up to the first average split.

    In the first dense block an image is large and the weights are small: 0.8 million features
    beside 0.4 million weights, and those of a whole batch have left a core's cache before the next
    layer reads them. In the last blocks it is the other way round. Outputs stay as they are.

    DenseNet averages between its blocks. Cut there, nothing is converted at the seam: what is
    averaged is not in 8 bits. Each piece has constants of its own: with the same ones in common
    OpenVINO leaves undone some of what it would fold into them, and is slower than without pieces.

    Args:
        path: An ONNX file or OpenVINO's own.
        images: Size of a batch: a multiple of `piece`, or below it.
        piece: Images that go through the first layers together.
    """
    network = core().read_model(path)
    of_one = network.input("pixels").partial_shape[1:]
    if images <= piece:
        network.reshape([images, *of_one])
        return network
    shape = [images, *(side.get_length() for side in of_one)]
    pixels = opset13.parameter(shape, np.float32, name="pixels")
    pixels.output(0).set_names({"pixels"})
    averages = []
    for part in opset13.split(pixels, opset13.constant(0), images // piece).outputs():
        front = network.clone()
        front.get_parameters()[0].output(0).replace(part)
        averages.append(_first_average(front).output(0))
    _first_average(network).output(0).replace(opset13.concat(averages, 0).output(0))
    cut = openvino.Model(network.get_results(), [pixels], network.get_friendly_name())
    cut.validate_nodes_and_infer_types()
    return cut


def _first_average(network: openvino.Model) -> openvino.Node:
    return next(op for op in network.get_ordered_ops() if op.get_type_name() == "AvgPool")
