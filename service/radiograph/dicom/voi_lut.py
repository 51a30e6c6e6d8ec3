"""From stored values to grey levels: modality, VOI and presentation (DICOM PS3.3 C.11, PS3.4 N.2).

The order is the standard's: stored values, modality LUT or rescale, VOI LUT or window, then
the inversion that MONOCHROME1 or an inverse presentation LUT shape asks for. Which VOI is
used, or whether any, changes a score by much: a hospital's viewer shows the windowed image and
so do the sets that TorchXRayVision's weights were trained on, while its `read_xray_dcm` leaves
the window out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

WHITE = 65535
"""White of a mapping that goes through a table."""


@dataclass(frozen=True)
class Window:
    """A window of interest (PS3.3 C.11.2.1.2).

    Attributes:
        centre: Window centre, in modality units.
        width: Window width, likewise; at least 1 for LINEAR, above 0 for the others.
        function: LINEAR, LINEAR_EXACT or SIGMOID.
    """

    centre: float
    width: float
    function: str = "LINEAR"

    @property
    def is_valid(self) -> bool:
        if not (np.isfinite(self.centre) and np.isfinite(self.width)):
            return False
        return self.width >= 1 if self.function == "LINEAR" else self.width > 0

    @property
    def bounds(self) -> tuple[float, float]:
        """Modality values at which a linear window becomes black and white."""
        if self.function == "LINEAR":
            half = (self.width - 1) / 2
            return self.centre - 0.5 - half, self.centre - 0.5 + half
        return self.centre - self.width / 2, self.centre + self.width / 2

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Grey levels in [0, 1] of modality values."""
        if self.function == "SIGMOID":
            power = np.clip(-4 * (values - self.centre) / self.width, -700, 700)
            return 1 / (1 + np.exp(power))
        low, high = self.bounds
        if high == low:  # LINEAR of width 1 is a threshold
            return (values > low).astype(np.float64)
        return np.clip((values - low) / (high - low), 0, 1)


@dataclass(frozen=True, eq=False)
class Lut:
    """A look-up table of a file (PS3.3 C.11.1.1).

    Attributes:
        first: The value that the first entry stands for.
        entries: uint16 (n,).
        bits: Bits of an entry, as the file says.
    """

    first: int
    entries: np.ndarray
    bits: int

    @property
    def white(self) -> int:
        """The entry that means white.

        Writers (Agfa's CR above all) call entries of 12 bits entries of 16, the size in which
        they are stored, and PS3.3 C.11.2.1.1 knows no size but 8 and 16 for most images. So 16
        bits, and a size that the greatest entry does not fit into, are replaced by the bits of
        the greatest entry, at least 8: Cornerstone, OHIF's renderer, and Horos take those too.
        DCMTK takes the size as written, which shows such a file nearly black. Any other size is
        taken as written: where it says 12 bits and the entries end at half of that, half of
        white is meant.
        """
        needed = int(self.entries.max()).bit_length()
        trusted = self.bits < 16 and needed <= self.bits
        return 2 ** (self.bits if trusted else max(8, needed)) - 1

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Entries for values; those before the first and after the last take the ends."""
        at = np.clip(np.rint(values).astype(np.int64) - self.first, 0, len(self.entries) - 1)
        return self.entries[at].astype(np.float64)


@dataclass(frozen=True)
class GreyScale:
    """How a file wants its stored values to be shown.

    Attributes:
        bits: Significant bits of a stored value.
        signed: Whether stored values are signed.
        inverted: Whether low values are bright: MONOCHROME1, or an inverse presentation LUT
            shape. Both together are one inversion, as the DX module demands them together.
        slope: Rescale slope.
        intercept: Rescale intercept.
        modality_lut: Takes the place of slope and intercept.
        voi: Window or VOI LUT; None for the full range.
        padding: Least and greatest stored value that is padding, not image.
        note: What to add to the words about the mapping.
    """

    bits: int
    signed: bool = False
    inverted: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: Lut | None = None
    voi: Window | Lut | None = None
    padding: tuple[int, int] | None = None
    note: str = ""

    @property
    def stored_range(self) -> tuple[int, int]:
        if self.signed:
            return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
        return 0, 2**self.bits - 1

    @property
    def words(self) -> str:
        """The mapping in words, for the answer."""
        if isinstance(self.voi, Lut):
            said = "VOI LUT"
        elif self.voi is not None:
            said = f"VOI LUT window {self.voi.centre:g}/{self.voi.width:g}"
            if self.voi.function != "LINEAR":
                said += f" ({self.voi.function.lower().replace('_', ' ')})"
        else:
            said = f"full range of {self.bits} bits"
        return said + (", inverted" if self.inverted else "") + self.note


def map_intensity(stored: np.ndarray, scale: GreyScale) -> tuple[np.ndarray, float]:
    """Map stored values to grey levels with dense tissue bright.

    A linear mapping whose black and white fall on whole stored values needs no table: the
    values are clipped and shifted, and white says the rest. Everything else goes through a
    table of one entry for each value that can be stored.

    Args:
        stored: Integers of 8 or 16 bits.
        scale: The file's mapping.

    Returns:
        uint8 or uint16 pixels, and the value that means white.
    """
    if scale.padding is not None:
        low, high = scale.padding
        if not ((stored >= low) & (stored <= high)).any():
            scale = replace(scale, padding=None)
    bounds = _whole_bounds(scale)
    if bounds is not None:
        return _shifted(stored, *bounds, scale)
    low, high = scale.stored_range
    grey = np.rint(_grey_levels(np.arange(low, high + 1), scale) * WHITE).astype(np.uint16)
    unsigned = stored.view(f"u{stored.dtype.itemsize}")
    table = np.zeros(2 ** (8 * stored.dtype.itemsize), np.uint16)
    # Indexed by the bit pattern, so that negative values need no copy of the image.
    table[np.arange(low, high + 1) % len(table)] = grey
    return table[unsigned], float(WHITE)


def _grey_levels(values: np.ndarray, scale: GreyScale) -> np.ndarray:
    """Grey levels in [0, 1] of stored values, one by one."""
    ends = np.array(scale.stored_range, np.float64)
    if scale.modality_lut is not None:
        modality = scale.modality_lut(values)
        least, most = 0.0, float(scale.modality_lut.white)
    else:
        modality = values * scale.slope + scale.intercept
        least, most = sorted(ends * scale.slope + scale.intercept)
    if isinstance(scale.voi, Window):
        grey = scale.voi(modality)
    elif scale.voi is not None:
        grey = np.clip(scale.voi(modality) / scale.voi.white, 0, 1)
    else:
        grey = np.clip((modality - least) / (most - least), 0, 1)
    if scale.inverted:
        grey = 1 - grey
    if scale.padding is not None:
        low, high = scale.padding
        grey[(values >= low) & (values <= high)] = 0
    return grey


def _whole_bounds(scale: GreyScale) -> tuple[int, int] | None:
    """Stored values of black and white where the mapping is a straight line between them.

    Black may be the greater one. None where the mapping is no line, or the bounds lie between
    stored values or too far apart for 16 bits.
    """
    if scale.modality_lut is not None or scale.padding is not None:
        return None
    low, high = scale.stored_range
    if scale.voi is None:
        black, white = (low, high) if scale.slope > 0 else (high, low)
    elif isinstance(scale.voi, Lut) or scale.voi.function == "SIGMOID":
        return None
    else:
        ends = [(bound - scale.intercept) / scale.slope for bound in scale.voi.bounds]
        if not all(abs(end) < 2**20 and abs(end - round(end)) < 1e-6 for end in ends):
            return None
        black, white = round(ends[0]), round(ends[1])
    least, most = min(black, white), max(black, white)
    if least == most or most - least > WHITE or most <= low or least >= high:
        return None
    return (white, black) if scale.inverted else (black, white)


def _shifted(
    stored: np.ndarray, black: int, white: int, scale: GreyScale
) -> tuple[np.ndarray, float]:
    """Clip to the bounds and count from black, in integers."""
    least, most = min(black, white), max(black, white)
    low, high = scale.stored_range
    wide = stored.dtype.itemsize == 1 and most - least > 255
    unsigned = np.dtype(np.uint16 if wide or stored.dtype.itemsize == 2 else np.uint8)
    if least <= low and most >= high:
        clipped = stored
    else:
        kind = stored.dtype.type
        clipped = np.clip(stored, kind(max(least, low)), kind(min(most, high)))
    if black == 0 < white and not scale.signed and not wide:
        return clipped, float(white)
    raw = clipped.astype(unsigned) if wide else clipped.view(unsigned)
    # Wrapping arithmetic: the result always fits, whatever the sign of the bounds.
    start = np.array(black % 2 ** (8 * unsigned.itemsize), unsigned)
    counted = np.subtract(raw, start) if black < white else np.subtract(start, raw)
    return counted, float(most - least)
