"""The candidate variants of an export and their files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from export.bundle.calibration import Calibration
from export.bundle.drift import auc
from export.bundle.graphs import ONNX, TORCHSCRIPT
from export.bundle.quantise import WeightBits, quantise, quantise_with_control
from service.network.bundle import Variant
from service.network.scores import sigmoid

FLOAT32_GOLDEN_TOLERANCE = 1e-4
REDUCED_GOLDEN_TOLERANCE = 0.005
"""What a reduced precision's golden pair may show beyond twice what it showed at export: another
processor sums in another order, and may round to the neighbouring level."""

AUC_DROP = 0.002

REFERENCES = (
    Variant(
        name="onnxruntime-float32",
        runtime="onnxruntime",
        precision="float32",
        files=(ONNX,),
        golden_tolerance=FLOAT32_GOLDEN_TOLERANCE,
    ),
    Variant(
        name="torchscript-float32",
        runtime="torchscript",
        precision="float32",
        files=(TORCHSCRIPT,),
        golden_tolerance=FLOAT32_GOLDEN_TOLERANCE,
    ),
)
"""Without these there is no bundle: what every machine can run, and what has gradients."""

CANDIDATES = (
    Variant(
        name="openvino-float32",
        runtime="openvino",
        precision="float32",
        files=(ONNX,),
        golden_tolerance=FLOAT32_GOLDEN_TOLERANCE,
    ),
    Variant(
        name="openvino-bfloat16",
        runtime="openvino",
        precision="bfloat16",
        files=(ONNX,),
        golden_tolerance=REDUCED_GOLDEN_TOLERANCE,
        needs="bf16",
    ),
    Variant(
        name="openvino-int8",
        runtime="openvino",
        precision="int8",
        files=("network.int8.xml", "network.int8.bin"),
        golden_tolerance=REDUCED_GOLDEN_TOLERANCE,
        needs="vnni",
    ),
    Variant(
        name="openvino-int8w7",
        runtime="openvino",
        precision="int8w7",
        files=("network.int8w7.xml", "network.int8w7.bin"),
        golden_tolerance=REDUCED_GOLDEN_TOLERANCE,
        needs="avx2",
    ),
)
"""What is published where it passes the drift gate, on this processor or emulated."""

WEIGHT_BITS: dict[str, WeightBits] = {"int8": 8, "int8w7": 7}
"""Bits of the weights of the quantised precisions."""

PREFERENCE = ("openvino-int8", "openvino-int8w7", "openvino-bfloat16", "openvino-float32")
"""Order of the variants of OpenVINO where speed could not be measured."""


def write_quantised(
    folder: Path, variant: Variant, calibration: Calibration, pneumonia: int
) -> None:
    """Quantise the ONNX file of a folder and write the result beside it.

    Where the calibration images are labelled NNCF's accuracy control watches over them: layers go
    back to float32 until the AUC falls by no more than `AUC_DROP`.

    Args:
        folder: Where the ONNX file is.
        variant: What to write.
        calibration: What ranges are taken from.
        pneumonia: Index of the output that the labels speak of.
    """
    bits = WEIGHT_BITS[variant.precision]
    onnx, written = folder / ONNX, folder / variant.files[0]
    if calibration.labelled is None:
        _save(quantise(onnx, calibration, bits), written)
        return
    known = np.array([label is not None for label in calibration.labelled.positive])
    truth = np.array([bool(label) for label in calibration.labelled.positive])[known]

    def validate(model: Any, items: Iterable[Any]) -> float:
        return auc(truth, np.concatenate([model([i])["logits"][:, pneumonia] for i in items]))

    images = calibration.labelled.pixels[known]
    _save(quantise_with_control(onnx, calibration, bits, images, validate, AUC_DROP), written)


def _save(model: openvino.Model, path: Path) -> None:
    """Write a model, the same bytes whatever the process did before.

    OpenVINO numbers the nodes that it makes up throughout a process.
    """
    for number, node in enumerate(model.get_ordered_ops()):
        kind = node.get_type_name()
        if re.fullmatch(rf"{kind}_\d+", node.get_friendly_name()):
            node.set_friendly_name(f"{kind}_{number}")
    openvino.save_model(model, path, compress_to_fp16=False)


def golden_tolerance(variant: Variant, ours: np.ndarray, theirs: np.ndarray) -> float:
    """The golden tolerance of a variant, from its difference at export.

    Args:
        variant: As listed in `CANDIDATES`.
        ours: The variant's logits for the golden input.
        theirs: The library's.
    """
    if variant.precision == "float32":
        return variant.golden_tolerance
    seen = float(np.abs(sigmoid(ours) - sigmoid(theirs)).max())
    return round(variant.golden_tolerance + 2 * seen, 6)
