"""Post-training quantisation to 8 bits by NNCF, with ranges of our own.

NNCF works on OpenVINO's representation, not on the ONNX graph, because placement is what decides
the speed. ONNX keeps a pre-activation's batch norm as one node, which NNCF does not quantise; so
what a dense block concatenates seems to stay in float32 there. OpenVINO reads the same node as a
multiplication and an addition, which are quantised: a dense block's features are stored in 8
bits, and batch norm, ReLU and requantisation become one pass over them.

Storing them in 8 bits is also what costs accuracy. NNCF gives all channels of a block one range.
Batch norm follows every concatenation, so a scale for each channel is folded into it and costs
nothing: those ranges are taken again here, channel by channel.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from openvino import opset13 as ops

from export.bundle.calibration import Calibration
from export.bundle.channel_ranges import Ranges, channel_ranges
from service.network.runtime.openvino_core import core

# Read when NNCF is imported. Without it NNCF reports what it does to its makers.
os.environ.setdefault("NNCF_CI", "1")

LEVELS = 256
PLACED_ON = 2
"""Images that NNCF gets: where it puts quantisers does not depend on them, and ranges do."""

REACH = 1.0
"""How far beyond what plain images need a channel's range reaches at either end, in spans of that
need, at most to what varied images need. Less clips radiographs, more is coarser for nothing:
chosen among 0, 0.25, 0.5, 1, 2 and no bound."""

RELU_MARGIN = 1.5
"""How far the one range of a convolution's input reaches beyond what plain images need."""

Validate = Callable[[Any, Iterable[Any]], float]
WeightBits = Literal[7, 8]


def read_network(onnx: Path) -> Any:
    """The ONNX graph as OpenVINO reads it."""
    return core().read_model(onnx)


def quantise(onnx: Path, calibration: Calibration, weight_bits: WeightBits) -> Any:
    """Quantise the network to 8 bits.

    Args:
        onnx: The float32 network.
        calibration: What ranges are taken from.
        weight_bits: Of the weights: 8, or 7 where products must not saturate without VNNI.

    Returns:
        A new OpenVINO model.
    """
    import nncf

    nncf.set_log_level(logging.ERROR)
    network = read_network(onnx)
    with redirect_stdout(io.StringIO()):  # progress bars
        model = nncf.quantize(
            network.clone(),
            nncf.Dataset([image[None] for image in calibration.plain[:PLACED_ON]]),
            subset_size=PLACED_ON,
            ignored_scope=nncf.IgnoredScope(names=kept_in_float(network)),
            advanced_parameters=advanced_parameters(weight_bits),
        )
    return take_ranges_again(onnx, model, calibration)


def quantise_with_control(
    onnx: Path,
    calibration: Calibration,
    weight_bits: WeightBits,
    images: np.ndarray,
    validate: Validate,
    drop: float,
) -> Any:
    """Quantise under NNCF's accuracy control: layers go back to float until it is good enough.

    Args:
        onnx: The float32 network.
        calibration: What ranges are taken from.
        weight_bits: As for `quantise`.
        images: float32 (N, 1, 224, 224), labelled.
        validate: The figure to hold, of a compiled model on the images; larger is better.
        drop: By how much the figure may fall.
    """
    import nncf

    nncf.set_log_level(logging.ERROR)
    network = read_network(onnx)
    with redirect_stdout(io.StringIO()):
        model = nncf.quantize_with_accuracy_control(
            network.clone(),
            nncf.Dataset([image[None] for image in calibration.plain]),
            nncf.Dataset([image[None] for image in images]),
            lambda compiled, items: (validate(compiled, items), None),
            max_drop=drop,
            subset_size=len(calibration.plain),
            ignored_scope=nncf.IgnoredScope(names=kept_in_float(network)),
            advanced_quantization_parameters=advanced_parameters(weight_bits),
        )
    return take_ranges_again(onnx, model, calibration)


def kept_in_float(network: Any) -> list[str]:
    """Names of the operations that are not quantised.

    The first convolution: its input spans [-1024, 1024] in one channel, and every error there
    goes through the whole network. The last, whose output is the class activation maps: one
    range for all classes turns the classes with small maps, and the logits, into constants. The
    average over those maps, or a logit would no longer be the mean of its map. And what a
    transition averages: rounded before the average and again behind it, it would cost a fifth more
    drift for 2.5 % more speed.
    """
    nodes = list(network.get_ordered_ops())
    convolutions = [node for node in nodes if node.get_type_name() == "Convolution"]
    averages = [node for node in nodes if node.get_type_name() in ("ReduceMean", "AvgPool")]
    return [node.get_friendly_name() for node in (convolutions[0], convolutions[-1], *averages)]


def advanced_parameters(weight_bits: WeightBits) -> Any:
    """NNCF's advanced parameters for this network."""
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    return nncf.AdvancedQuantizationParameters(
        # Without VNNI two products are added in 16 bits (vpmaddubsw): 255 x 127 x 2 does not fit
        # there, and 255 x 64 x 2 does. Halving the weights' range costs accuracy.
        overflow_fix=nncf.OverflowFix.ENABLE if weight_bits == 7 else nncf.OverflowFix.DISABLE,
        # The default takes the mean of each image's extremes, and so clips.
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        # No convolution here has a bias to correct: it changed nothing and takes seconds.
        disable_bias_correction=True,
    )


def take_ranges_again(onnx: Path, quantised: Any, calibration: Calibration) -> Any:
    """Recompute the quantisation ranges from the whole calibration set.

    Args:
        onnx: The float32 network that was quantised.
        quantised: What NNCF made of it; left as it is.
        calibration: A stored feature's range covers plain and varied images. A convolution's own
            input has one range for all channels, and there resolution is worth more than reach:
            it covers the plain images.
    """
    model = quantised.clone()
    quantisers = dict(_activation_quantisers(model))
    plain, varied = _ranges(onnx, tuple(quantisers), calibration)
    for name, node in quantisers.items():
        low, high = plain[name]
        if _feeds_convolution(node):
            low, high = low.min(keepdims=True), high.max(keepdims=True) * RELU_MARGIN
        else:
            low, high = widened(low, high, *varied[name])
        _set_range(node, *quantisable(low, high))
    model.validate_nodes_and_infer_types()
    return model


@lru_cache(maxsize=1)
def _ranges(onnx: Path, names: tuple[str, ...], calibration: Calibration) -> tuple[Ranges, Ranges]:
    """The ranges over plain and over varied images; weights of 8 bits and of 7 have the same."""
    plain, varied = (
        channel_ranges(onnx, names, images) for images in (calibration.plain, calibration.varied)
    )
    return plain, varied


def _feeds_convolution(quantiser: Any) -> bool:
    return any(
        port.get_node().get_type_name() == "Convolution"
        for port in quantiser.output(0).get_target_inputs()
    )


def _activation_quantisers(model: Any) -> Iterator[tuple[str, Any]]:
    """Each FakeQuantize of an activation, with the name of the node that it quantises."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize":
            source = node.input_value(0).get_node()
            if source.get_type_name() != "Constant":
                yield source.get_friendly_name(), node


def widened(
    low: np.ndarray, high: np.ndarray, lowest: np.ndarray, highest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ranges of plain images, widened towards those of varied images."""
    reach = REACH * (high - low)
    return (
        np.maximum(np.minimum(low, lowest), low - reach),
        np.minimum(np.maximum(high, highest), high + reach),
    )


def quantisable(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest ranges that hold zero, and hold it exactly on one of their levels.

    Padding is zero; if zero were rounded, every border would be off by the same amount.
    """
    low = np.minimum(low, 0)
    high = np.maximum(np.maximum(high, 0), low + 1e-6)
    step = (high - low) / (LEVELS - 1)
    zero = np.round(-low / step)
    return (-zero * step).astype(np.float32), ((LEVELS - 1 - zero) * step).astype(np.float32)


def _set_range(node: Any, low: np.ndarray, high: np.ndarray) -> None:
    ends = (ops.constant(low), ops.constant(high))
    for port, end in zip((1, 2, 3, 4), ends * 2, strict=True):
        node.input(port).replace_source_output(end.output(0))
