"""Coarse facts of an acquisition, each from a closed list: what a log of numbers may hold.

None of them identifies anybody. Whatever a file says that is in no list becomes `other`.
"""

from __future__ import annotations

import pydicom

from service.radiograph.dicom.dataset import text
from service.radiograph.dicom.suitability import years

OTHER = "other"
_MANUFACTURERS = {
    "agfa": ("agfa",),
    "canon": ("canon", "toshiba"),
    "carestream": ("carestream", "kodak"),
    "fujifilm": ("fuji",),
    "ge": ("ge ", "general electric", "gems"),
    "hologic": ("hologic", "lorad"),
    "konica minolta": ("konica", "minolta"),
    "philips": ("philips",),
    "samsung": ("samsung",),
    "shimadzu": ("shimadzu",),
    "siemens": ("siemens",),
}
"""Groups of makers, and what their names hold in lower case; older names with the successors."""

MANUFACTURERS = (*_MANUFACTURERS, OTHER)
SEXES = ("F", "M", "O")
OLDEST_DECADE = 80
"""Of ages from here on no more is told."""


def manufacturer_group(dataset: pydicom.Dataset) -> str | None:
    """The maker's group; None where the file does not say."""
    name = f"{text(dataset, 'Manufacturer').lower()} "
    if not name.strip():
        return None
    return next(
        (group for group, parts in _MANUFACTURERS.items() if any(part in name for part in parts)),
        OTHER,
    )


def sex(dataset: pydicom.Dataset) -> str | None:
    """F, M or O (PS3.3 C.7.1.1); None where the file does not say."""
    found = text(dataset, "PatientSex").upper()
    return found if found in SEXES else None


def age_decade(dataset: pydicom.Dataset) -> int | None:
    """The age in years, rounded down to tens, `OLDEST_DECADE` at the most; None if not known."""
    age = years(text(dataset, "PatientAge"))
    return None if age is None else min(int(age) // 10 * 10, OLDEST_DECADE)
