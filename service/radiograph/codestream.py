"""Headers of JPEG, JPEG-LS and JPEG 2000 codestreams, read before decoding.

The decoders take memory for what the codestream's header says, not for what the file around
it says, so the limits are held against these numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from service.errors import TooLarge, TruncatedImage
from service.radiograph.limits import DecodeLimits

_SOF_LS, _SOS = 0xF7, 0xDA
_SOF = {*range(0xC0, 0xD0), _SOF_LS} - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers (ITU-T T.81 table B.1; T.87 for JPEG-LS)."""
_SEQUENTIAL = {0xC0, 0xC1, 0xC3}
_SCAN = bytes([0xFF, _SOS])
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_MOST_TILES = 4096
"""JPEG 2000 decoders keep kilobytes a tile; a radiograph has one, or a few hundred."""


@dataclass(frozen=True)
class Codestream:
    """The header of one compressed image.

    Attributes:
        width: Columns.
        height: Rows.
        components: Samples a pixel.
        precision: Bits of a sample.
        signed: Whether samples are signed (JPEG 2000 alone can say so).
        ycc: Whether a JPEG's three components are luminance and chroma, as libjpeg decides;
            None where nothing in the codestream says so.
        passes: Scans of a JPEG; 1 for the others.
        buffered: Whether a JPEG's decoder keeps the coefficients of the whole image, because more
            than one scan writes them.
    """

    width: int
    height: int
    components: int
    precision: int
    signed: bool = False
    ycc: bool | None = None
    passes: int = 1
    buffered: bool = False

    def check(self, limits: DecodeLimits) -> None:
        """Raise TooLarge or Unprocessable where decoding would go over a limit."""
        limits.check_size(self.width, self.height)
        limits.check_passes(self.passes, self.width, self.height)


def read_jpeg(data: bytes) -> Codestream:
    """Read the header of a JPEG or JPEG-LS codestream.

    Raises:
        TruncatedImage: No frame header, or a damaged one.
    """
    jfif, transform = False, None
    found: Codestream | None = None
    sequential = single = False
    for marker, body in _segments(data):
        if marker == 0xE0 and body.startswith(b"JFIF"):
            jfif = True
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            transform = body[11]
        elif marker in _SOF and found is None:
            if len(body) < 6 + 3 * (body[5] if len(body) > 5 else 0) or not body[5]:
                break
            precision, height, width, components = struct.unpack(">BHHB", body[:6])
            named = bytes(body[6 : 6 + 3 * components : 3])
            ycc: bool | None = None
            if components == 3 and marker != _SOF_LS:
                if jfif:
                    ycc = True
                elif transform is not None:
                    ycc = transform != 0
                elif named in (b"RGB", b"rgb"):
                    ycc = False
            found = Codestream(width, height, components, precision, ycc=ycc)
            sequential = marker in _SEQUENTIAL
            # One sequential component is one scan whatever follows it.
            single = marker == _SOF_LS or (sequential and components == 1)
        elif marker == _SOS and found is not None and sequential:
            # With all components in the first scan libjpeg refuses a second one.
            single = body[:1] == bytes([found.components])
    if found is None:
        raise TruncatedImage("The JPEG data have no frame header, or a damaged one.")
    return found if single else replace(found, passes=data.count(_SCAN), buffered=True)


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment up to the first scan, as far as they can be followed."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : at + 2 + length]
        if marker == _SOS or length < 2:
            return
        at += 2 + length


def read_jpeg2000(data: bytes) -> Codestream:
    """Read the SIZ segment of a JPEG 2000 or HTJ2K codestream, bare or inside a JP2 file.

    Raises:
        TruncatedImage: No SIZ segment, or a damaged one.
        TooLarge: More tiles than a radiograph has.
    """
    start = data.find(b"\xff\x4f\xff\x51")
    header = data[start + 6 : start + 44]
    if start < 0 or len(header) < 38:
        raise TruncatedImage("The JPEG 2000 data have no image header.")
    _, x1, y1, x0, y0, tile_width, tile_height, tile_x, tile_y, components = struct.unpack(
        ">HIIIIIIIIH", header[:36]
    )
    kinds = data[start + 42 : start + 42 + 3 * components]
    width, height = x1 - x0, y1 - y0
    if (
        width < 1
        or height < 1
        or not (tile_width and tile_height and components)
        or len(kinds) < 3 * components
        or tile_x > x0
        or tile_y > y0
    ):
        raise TruncatedImage("The JPEG 2000 data have a damaged image header.")
    tiles = -(-(x1 - tile_x) // tile_width) * -(-(y1 - tile_y) // tile_height)
    if tiles > _MOST_TILES:
        raise TooLarge(f"The image has {tiles} tiles.", limit="tiles", allowed=_MOST_TILES)
    return Codestream(
        width, height, components, (kinds[0] & 0x7F) + 1, signed=bool(kinds[0] & 0x80)
    )
