"""A radiograph as the network gets it, and whether there is anything on it to score."""

from __future__ import annotations

from dataclasses import dataclass

from service.radiograph.border import find_border, may_be_cut
from service.radiograph.exposure import Exposure, Reason, measure, require_contrast
from service.radiograph.preprocess import Geometry, ModelInput, preprocess
from service.radiograph.radiograph import Radiograph
from service.radiograph.rectangle import NO_MARGINS
from service.settings import Framing


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

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What is unusual about exposure, contrast and border."""
        return self.exposure.reasons

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the answer should know, of the file, the exposure and the framing."""
        geometry = self.input.geometry
        cut = (f"The border was cut off: {geometry.cut.in_words}.",) if any(geometry.cut) else ()
        unseen = geometry.describe_unseen
        return (
            *self.radiograph.warnings,
            *(reason.sentence for reason in self.reasons),
            *cut,
            *((unseen,) if unseen else ()),
        )


def frame(
    radiograph: Radiograph, framing: Framing = "crop", *, trim_border: bool = False
) -> FramedRadiograph:
    """Measure a radiograph and make the network's input of it.

    Args:
        radiograph: Any.
        framing: How it becomes a square.
        trim_border: Whether a border that is certain is cut off.

    Raises:
        Unprocessable: With the code `no_contrast` where the image shows nothing.
    """
    source = radiograph.source
    border = find_border(radiograph)
    cut = NO_MARGINS
    if trim_border and border is not None and may_be_cut(radiograph, border):
        cut = border.margins
    geometry = Geometry(source.width, source.height, framing, cut)
    exposure = measure(radiograph, geometry.seen, border)
    require_contrast(exposure)
    return FramedRadiograph(radiograph, preprocess(radiograph, geometry), exposure)
