"""How this service reads files: limits, grey-level mapping and framing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydicom import uid

from service.radiograph.container_memory import memory_for_images, memory_limit
from service.radiograph.decode import decode
from service.radiograph.framing import FramedRadiograph, frame
from service.radiograph.limits import DecodeLimits
from service.radiograph.memory_budget import AROUND, Claim, MemoryBudget
from service.radiograph.peak_memory import dicom_peak
from service.radiograph.radiograph import Radiograph
from service.settings import BodyPart, Framing, Settings


@dataclass(frozen=True)
class RadiographReader:
    """Decoding options from the settings and the weights.

    Attributes:
        limits: What a file may ask for.
        voi: Whether the VOI LUT or window of a DICOM file is applied.
        ages: Years between which the weights were trained; None where that is not known.
        memory: What all images that are read at one time may take together.
        framing: How an image becomes the network's square.
        trim_border: Whether a border that is certain is cut off.
        body_part: What becomes of a DICOM file that names another body part than the chest.
    """

    limits: DecodeLimits
    voi: bool
    ages: tuple[float, float] | None
    memory: MemoryBudget
    framing: Framing = "crop"
    trim_border: bool = False
    body_part: BodyPart = "refuse"

    @contextmanager
    def reading(
        self, data: bytes, claim: Claim | None = None, *, reduce: bool = False
    ) -> Iterator[Radiograph]:
        """Decode a file; the memory that it takes is claimed until the block is left.

        Args:
            data: The whole file.
            claim: For its memory; one that waits for as long as it takes where left out.
            reduce: As for `service.radiograph.decode.decode`, like the errors.

        Raises:
            DeadlineExceeded: There was no memory for it in time.
        """
        with claim or self.memory.claim() as taken:
            yield decode(
                data,
                limits=self.limits,
                reduce=reduce,
                voi=self.voi,
                ages=self.ages,
                body_part=self.body_part,
                claim=taken,
            )

    @contextmanager
    def reading_framed(
        self, data: bytes, claim: Claim | None = None, *, reduce: bool = False
    ) -> Iterator[FramedRadiograph]:
        """Decode a file and make the network's input of it.

        Arguments and errors as for `reading`, and those of `service.radiograph.framing.frame`.
        """
        with self.reading(data, claim, reduce=reduce) as radiograph:
            yield frame(radiograph, self.framing, trim_border=self.trim_border)

    @property
    def memory_warning(self) -> str | None:
        """What to log where images that are within the limit on pixels take too much memory."""
        pixels = self.limits.pixels
        native = uid.ExplicitVRLittleEndian
        largest = AROUND + dicom_peak(1, pixels, 1, 16, native, 2 * pixels)
        if largest <= self.memory.total:
            return None
        return (
            f"There are {self.memory.total >> 20} MiB of memory for images; one of "
            f"{pixels / 1e6:g} megapixels takes {largest >> 20} MiB and will be refused. Give the "
            "container more memory, or lower CXR_MAX_PIXELS or CXR_MAX_HELD_BYTES."
        )


RESERVE = 192 << 20
"""Bytes that a process which reads files takes beside what it holds once it is warm: packages that
the first file of a format imports (50 MB), the copy of an upload that is made when it is read
(`CXR_MAX_BYTES`), images that wait for the network, sockets, memory that the allocator keeps."""


def reader(
    settings: Settings, ages: tuple[float, float] | None = None, reserve: int = RESERVE
) -> RadiographReader:
    """The reader of the settings' limits.

    Args:
        settings: Limits, and how images are read.
        ages: Years between which the weights were trained; None where that is not known.
        reserve: Bytes of memory that are left for other things than images.
    """
    limits = DecodeLimits(
        bytes=settings.max_bytes,
        pixels=settings.max_pixels,
        shortest=settings.shortest_side,
        longest=settings.longest_side,
        seconds=settings.decode_seconds,
    )
    memory = MemoryBudget(
        settings.decode_bytes
        or (
            lambda growth: memory_for_images(
                memory_limit(), settings.max_held_bytes, reserve + growth
            )
        )
    )
    return RadiographReader(
        limits,
        settings.voi_lut,
        ages,
        memory,
        settings.framing,
        settings.trim_border,
        settings.body_part,
    )
