"""DICOM radiographs for the node: the one of pydicom-data in its syntaxes, and drawn ones."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pydicom
from pydicom import uid
from pydicom.data import get_testdata_file

from bench.files import chest, dicom, stored

REAL = ("RG1_UNCI.dcm", "RG1_UNCR.dcm", "RG1_J2KI.dcm", "RG1_J2KR.dcm")
_CLASSES = (
    ("CR", uid.ComputedRadiographyImageStorage),
    ("DX", uid.DigitalXRayImageStorageForPresentation),
    ("DX", uid.DigitalXRayImageStorageForProcessing),
    ("RG", uid.SecondaryCaptureImageStorage),
)


def named(number: int, level: str) -> str:
    """A UID of the bench."""
    return f"2.25.{10**30 + number * 10}{ {'study': 1, 'series': 2, 'instance': 3}[level] }"


def radiographs(count: int, *, real_every: int = 5, side: int = 512) -> Iterator[tuple[str, bytes]]:
    """Files with UIDs of their own; the SOP Instance UID and the file.

    Args:
        count: How many.
        real_every: Each so many-th is the real radiograph, in its four syntaxes by turns.
        side: Columns of the drawn ones; rows are a fifth more.
    """
    for number in range(count):
        if real_every and number % real_every == 0:
            yield named(number, "instance"), _real(number, REAL[number // real_every % len(REAL)])
        else:
            yield named(number, "instance"), _drawn(number, side)


def _real(number: int, name: str) -> bytes:
    dataset = pydicom.dcmread(str(get_testdata_file(name)))
    for level in ("study", "series", "instance"):
        keyword = {"study": "Study", "series": "Series", "instance": "SOP"}[level] + "InstanceUID"
        setattr(dataset, keyword, named(number, level))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def _drawn(number: int, side: int) -> bytes:
    pixels = chest(number, side * 6 // 5, side, opacity=number % 2 == 0)
    modality, sop_class = _CLASSES[number % len(_CLASSES)]
    inverted = number % 3 == 0
    return dicom(
        stored(1 - pixels if inverted else pixels, 12),
        12,
        SOPClassUID=sop_class,
        SOPInstanceUID=named(number, "instance"),
        StudyInstanceUID=named(number, "study"),
        SeriesInstanceUID=named(number, "series"),
        Modality=modality,
        PhotometricInterpretation="MONOCHROME1" if inverted else "MONOCHROME2",
        PatientOrientation=["L", "F"],
        StudyDate="20240506",
        StudyTime="070809",
        PatientBirthDate="19700101",
        PatientSex="O",
        StudyID="1",
        SeriesNumber=1,
        InstanceNumber=1,
    )
