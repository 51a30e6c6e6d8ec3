"""Attributes of a new DICOM object: the source's study, and the device that made it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import NAMESPACE_OID, uuid5

from pydicom import Dataset, dcmread
from pydicom.config import RAISE
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pydicom.valuerep import validate_value

from service.errors import NotAnImage, Unprocessable
from service.network.answer import ModelAnswer

MANUFACTURER = "cxr-pneumonia"
"""Who made an object: no company, the name of the software."""

_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Patient and study attributes that every object has, though they may be empty (PS3.3)."""


_MOMENTS = (
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("SeriesDate", "SeriesTime"),
    ("StudyDate", "StudyTime"),
)
"""Where a source says when it was made, the closest first."""

_NO_MOMENT = ("19000101", "000000")
"""Date and time of an object whose source has none: an object must have them (PS3.3, C.17.2)."""


@dataclass(frozen=True)
class NewSeries:
    """Numbers of a series of one instance.

    Attributes:
        series_instance_uid: Of the series.
        sop_instance_uid: Of its only instance.
        tracking_uid: Of the region or image that is measured.
        series_number: By the kind of object.
        instance_number: Always 1.
    """

    series_instance_uid: str
    sop_instance_uid: str
    tracking_uid: str
    series_number: int
    instance_number: int = 1


def derived_series(
    source: Dataset, model: ModelAnswer, kind: str, settings: Sequence[object], series_number: int
) -> NewSeries:
    """The identifiers of an object: the same image, model, kind and settings give the same.

    So an object that is made or sent a second time is the same object, and an archive that has it
    keeps one.

    Args:
        source: As `source_header` reads it.
        model: What scored it; its version, runtime and precision count.
        kind: Of the object, such as "secondary capture".
        settings: What else decides what stands in it.
        series_number: By the kind of object.
    """
    parts = [MANUFACTURER, source.SOPInstanceUID, model.version, model.runtime, model.precision]
    name = "\n".join(map(str, [*parts, kind, *settings]))
    return NewSeries(
        _derived_uid("series", name),
        _derived_uid("instance", name),
        _derived_uid("tracking", name),
        series_number,
    )


def _derived_uid(level: str, name: str) -> UID:
    """A UID under the UUID root (PS3.5, B.2), from a UUID of version 5 (RFC 9562)."""
    return UID(f"2.25.{uuid5(NAMESPACE_OID, f'{level} {name}').int}")


def date_from_source(target: Dataset, source: Dataset) -> None:
    """Give an object its source's date and time, so that it does not depend on when it is made."""
    date, time = next(
        (
            (str(source[day].value), str(source.get(hour) or "000000"))
            for day, hour in _MOMENTS
            if source.get(day)
        ),
        _NO_MOMENT,
    )
    target.ContentDate = target.InstanceCreationDate = date
    target.ContentTime = target.InstanceCreationTime = time
    for equipment in target.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in equipment:
            equipment.ContributionDateTime = date + time


def device_uid(model: ModelAnswer) -> UID:
    """The observer's identifier: the same for the same model wherever it runs."""
    return _derived_uid("device", "\n".join([model.name, model.version, model.weights_sha256]))


def source_header(data: bytes) -> Dataset:
    """Read the attributes that a new object copies from its source.

    Args:
        data: The whole source file.

    Raises:
        NotAnImage: Not DICOM; an object can only join the study of a DICOM image.
        Unprocessable: The file does not say which study and image it is (code `no_study`), or
            its attributes cannot be read (`source_attributes`).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            header = dcmread(io.BytesIO(data), stop_before_pixels=True)
            missing = [name for name in _NEEDED if not header.get(name)]
            if not missing:
                _in_utf_8(header)
                _drop_unsound(header)
    except InvalidDicomError as error:
        raise NotAnImage(
            "A DICOM answer is given for DICOM input only.", code="not_dicom"
        ) from error
    except (
        *(ValueError, TypeError, AttributeError, LookupError, EOFError),
        NotImplementedError,  # a value representation that there is none of
    ) as error:
        raise Unprocessable(
            "The file's attributes cannot be read.", code="source_attributes"
        ) from error
    if missing:
        raise Unprocessable(
            f"The file has no {', '.join(missing)}: there is no study to join.", code="no_study"
        )
    for name in _TYPE_2:
        if name not in header:
            setattr(header, name, None)
    return header


def _in_utf_8(header: Dataset) -> None:
    """Decode all text, so that it is written in one character set whatever the source's was."""
    header.decode()
    header.SpecificCharacterSet = "ISO_IR 192"


def _drop_unsound(header: Dataset) -> None:
    """Drop values that violate their value representation."""
    for element in list(header):
        if element.VR == "SQ" or element.is_empty or element.keyword in _NEEDED:
            continue
        for value in element.value if element.VM > 1 else [element.value]:
            try:
                validate_value(element.VR, value, RAISE)
            except ValueError:
                del header[element.tag]
                break
    if header.get("PatientSex") not in ("M", "F", "O"):
        header.PatientSex = None


def to_bytes(dataset: Dataset) -> bytes:
    """A dataset as a DICOM file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def patient_orientation(source: Dataset) -> tuple[str, str] | None:
    """Patient Orientation (0020,0020) where the file tells it in the standard's letters."""
    value = source.get("PatientOrientation")
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return None
    rows, columns = str(value[0]), str(value[1])
    if rows and columns and set(rows + columns) <= set("AFHLPR"):
        return rows, columns
    return None


@contextmanager
def taking_over() -> Iterator[None]:
    """Write an object from a source's attributes as they are.

    Complaints about another object's values are silenced: they are not to be corrected here,
    and the warnings quote them, a patient's name among them.

    Raises:
        Unprocessable: A value is such that no object can be written with it (code
            `source_attributes`).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            yield
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise Unprocessable(
                "The file's patient or study attributes cannot be taken over into a new object.",
                code="source_attributes",
            ) from error
