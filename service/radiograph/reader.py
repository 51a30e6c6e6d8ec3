"""How this service reads files: limits, grey-level mapping and framing."""

from __future__ import annotations

from dataclasses import dataclass

from service.radiograph.decode import decode
from service.radiograph.framing import FramedRadiograph, frame
from service.radiograph.limits import DecodeLimits
from service.radiograph.radiograph import Radiograph
from service.settings import BodyPart, Framing, Settings


@dataclass(frozen=True)
class RadiographReader:
    """Decoding as the settings and the weights ask for it.

    Attributes:
        limits: What a file may ask for.
        voi: Whether the VOI LUT or window of a DICOM file is applied.
        ages: Years between which the weights were trained; None where that is not known.
        framing: How an image becomes the network's square.
        trim_border: Whether a border that is certain is cut off.
        body_part: What becomes of a DICOM file that names another body part than the chest.
    """

    limits: DecodeLimits
    voi: bool
    ages: tuple[float, float] | None
    framing: Framing = "crop"
    trim_border: bool = False
    body_part: BodyPart = "refuse"

    def read(self, data: bytes, *, reduce: bool) -> Radiograph:
        """Decode a file; arguments and errors as `service.radiograph.decode.decode` has them."""
        return decode(
            data,
            limits=self.limits,
            reduce=reduce,
            voi=self.voi,
            ages=self.ages,
            body_part=self.body_part,
        )

    def read_framed(self, data: bytes, *, reduce: bool) -> FramedRadiograph:
        """Decode a file and make the network's input of it.

        Arguments and errors as for `read`, and those of `service.radiograph.framing.frame`.
        """
        radiograph = self.read(data, reduce=reduce)
        return frame(radiograph, self.framing, trim_border=self.trim_border)


def reader(settings: Settings, ages: tuple[float, float] | None = None) -> RadiographReader:
    """The reader of the settings' limits.

    Args:
        settings: Limits, and how images are read.
        ages: Years between which the weights were trained; None where that is not known.
    """
    limits = DecodeLimits(
        bytes=settings.max_bytes,
        pixels=settings.max_pixels,
        shortest=settings.shortest_side,
        longest=settings.longest_side,
        seconds=settings.decode_seconds,
    )
    return RadiographReader(
        limits,
        settings.voi_lut,
        ages,
        settings.framing,
        settings.trim_border,
        settings.body_part,
    )
