"""A radiograph as the network gets it, and whether there is anything on it to score."""

from __future__ import annotations

from dataclasses import dataclass

from service.radiograph.exposure import Exposure, measure, require_contrast
from service.radiograph.preprocess import ModelInput, preprocess
from service.radiograph.radiograph import Radiograph


@dataclass(frozen=True, eq=False)
class FramedRadiograph:
    """A radiograph and what the network sees of it.

    Attributes:
        radiograph: As decoded.
        input: The network's input.
        exposure: Of the part that the network sees.
    """

    radiograph: Radiograph
    input: ModelInput
    exposure: Exposure


def frame(radiograph: Radiograph) -> FramedRadiograph:
    """Measure a radiograph and make the network's input of it.

    Raises:
        Unprocessable: With the code `no_contrast` where the image shows nothing.
    """
    model_input = preprocess(radiograph)
    exposure = measure(radiograph, model_input.geometry.seen)
    require_contrast(exposure)
    return FramedRadiograph(radiograph, model_input, exposure)
