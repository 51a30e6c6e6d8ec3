"""How much work one file may ask for, and the checks that hold it."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

from service.errors import TooLarge, Unprocessable


@dataclass(frozen=True)
class DecodeLimits:
    """What a file may ask for at most; each is a setting.

    Everything but the time is checked against the file's header before memory is taken for
    pixels. Time cannot be held that strictly: a decoder written in C runs in a thread and
    nothing can stop a thread. The clock is read between the steps of decoding and, for PNG
    and JPEG, before every 64 KiB block that the decoder asks for; a single call into the
    other decoders (TIFF, WebP, JPEG 2000, JPEG-LS, RLE, lossless JPEG) runs to its end. What
    bounds those calls is their size: `pixels`, `bytes`, and the count of passes that a
    progressive JPEG may make.

    Attributes:
        bytes: Length of the file; also bounds what a deflated DICOM file may hold beside pixels.
        pixels: Rows times columns.
        shortest: Least width and height.
        longest: Greatest width and height.
        seconds: Decode time; see above for where it is enforced.
    """

    bytes: int = 64 * 2**20
    pixels: int = 40_000_000
    shortest: int = 32
    longest: int = 20_000
    seconds: float = 10.0

    def check_bytes(self, found: int) -> None:
        """Raise TooLarge where a file is longer than is accepted."""
        if found > self.bytes:
            raise TooLarge(
                f"The file has {found} bytes; at most {self.bytes} are accepted.",
                limit="bytes",
                allowed=self.bytes,
            )

    def check_size(self, width: int, height: int) -> None:
        """Raise TooLarge or Unprocessable(`too_small`) for a width and height in pixels."""
        if min(width, height) < self.shortest:
            raise Unprocessable(
                f"The image is {width} x {height} pixels; each side needs {self.shortest}.",
                code="too_small",
                limit="shortest",
                allowed=self.shortest,
            )
        if max(width, height) > self.longest:
            raise TooLarge(
                f"The image is {width} x {height} pixels; a side may have {self.longest}.",
                limit="longest",
                allowed=self.longest,
            )
        if width * height > self.pixels:
            raise TooLarge(
                f"The image is {width} x {height} pixels; {self.pixels} in all are accepted.",
                limit="pixels",
                allowed=self.pixels,
            )

    def check_passes(self, passes: int, width: int, height: int) -> None:
        """Raise TooLarge where a progressive JPEG would go over its pixels too many times.

        Each scan of a progressive JPEG costs a pass over the whole image however few bytes it
        has. Encoders write about ten; a file of thousands is made to keep a decoder busy.
        """
        if passes > 100 or passes * width * height > 12 * self.pixels:
            raise TooLarge(
                f"The JPEG has {passes} scans; that many are not decoded.",
                limit="passes",
                allowed=100,
            )


class Deadline:
    """The moment after which decoding one file is given up."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Count from now on: what was waited for other images is no time of this one's."""
        self._end = time.monotonic() + self.seconds

    def check(self) -> None:
        """Raise TooLarge(`decode_time`) once the time is over."""
        if time.monotonic() > self._end:
            raise TooLarge(
                f"Decoding took longer than the {self.seconds:g} s that are allowed.",
                code="decode_time",
                limit="seconds",
                allowed=self.seconds,
            )


class TimedBytes(io.BytesIO):
    """A file in memory that refuses to be read after the deadline."""

    def __init__(self, data: bytes, deadline: Deadline) -> None:
        super().__init__(data)
        self._deadline = deadline

    def read(self, size: int | None = -1, /) -> bytes:
        self._deadline.check()
        return super().read(size)
