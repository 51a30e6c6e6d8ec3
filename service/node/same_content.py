"""Whether two files say the same: senders encode one instance in more ways than one."""

from __future__ import annotations

import io

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

_TRAILING_PADDING = 0xFFFCFFFC


def same_content(first: bytes, second: bytes) -> bool:
    """Whether two files hold the same attributes and pixel data, element by element.

    Group lengths, padding and how lengths are encoded do not count; another transfer syntax of the
    pixel data does. What cannot be read, or would have to be inflated first, is not the same.
    """
    try:
        one, other = (_elements(each) for each in (first, second))
    except Exception:  # whatever a file from outside brings pydicom to raise
        return False
    return one is not None and one == other


def _elements(file: bytes) -> pydicom.Dataset | None:
    if DeflatedExplicitVRLittleEndian.encode() in file[:1024]:
        return None
    dataset = pydicom.dcmread(io.BytesIO(file))
    for tag in list(dataset.keys()):
        if tag.element == 0 or tag == _TRAILING_PADDING:
            del dataset[tag]
    return dataset
