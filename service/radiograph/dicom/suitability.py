"""Which DICOM files are frontal chest radiographs, and what to warn about in those that are."""

from __future__ import annotations

import re

import pydicom

from service.errors import Unprocessable
from service.radiograph.dicom.dataset import number, text, whole
from service.radiograph.radiograph import Source

MODALITIES = frozenset({"CR", "DX", "RG", "SC"})
"""Computed, digital and film radiography, and what some scanners of films call themselves."""


def radiography(dataset: pydicom.Dataset) -> str:
    """Return the modality, "" where the file does not say.

    Raises:
        Unprocessable: With the code `modality` or `several_frames`.
    """
    modality = text(dataset, "Modality")
    if modality and modality not in MODALITIES:
        raise Unprocessable(
            "The modality is not radiography: CR, DX, RG and SC are scored.", code="modality"
        )
    if (number(dataset, "NumberOfFrames") or 1) > 1:
        raise Unprocessable("The file holds several frames.", code="several_frames")
    return modality


def frontal_view(dataset: pydicom.Dataset) -> str:
    """Return the view where it is frontal, "" where the file does not say.

    Raises:
        Unprocessable: With the code `not_frontal`.
    """
    view = text(dataset, "ViewPosition").upper()
    words = set(re.split(r"[^A-Z]+", view)) - {""}
    if not words:
        for item in dataset.get("ViewCodeSequence") or ():
            meaning = text(item, "CodeMeaning").lower()
            if "lateral" in meaning or "oblique" in meaning:
                words = {"LATERAL"}
            elif "postero" in meaning:
                return "PA"
            elif "antero" in meaning or "frontal" in meaning:
                return "AP"
    if not words:
        return ""
    if not words & {"AP", "PA"} or words & {"LATERAL", "LAT", "OBLIQUE", "AXIAL", "LORDOTIC"}:
        raise Unprocessable(
            "The view is not frontal: AP and PA are scored, no other.", code="not_frontal"
        )
    return "PA" if "PA" in words else "AP"


def cautions(
    dataset: pydicom.Dataset, source: Source, ages: tuple[float, float] | None
) -> tuple[str, ...]:
    """What the reader of the answer should know, without the patient's data."""
    notes = []
    if source.modality is None:
        notes.append("The file does not name its modality.")
    if source.view is None:
        notes.append("The file does not name the view; only frontal views are scored rightly.")
    if text(dataset, "BurnedInAnnotation").upper() == "YES":
        notes.append("The image has annotations burned in; they may carry the patient's data.")
    if text(dataset, "PresentationIntentType").upper() == "FOR PROCESSING":
        notes.append("The image is raw detector data, not meant for presentation.")
    if source.orientation and not source.orientation.startswith("L\\"):
        notes.append("The image is mirrored or turned from the usual view; it is scored as stored.")
    ratio = [whole(v) for v in dataset.get("PixelAspectRatio") or ()]
    if len(ratio) == 2 and ratio[0] != ratio[1]:
        notes.append("The pixels are not square; the image is scored as stored.")
    age = years(text(dataset, "PatientAge"))
    if ages is not None and age is not None and not ages[0] <= age <= ages[1]:
        notes.append("The patient's age is outside what the weights were trained on.")
    return tuple(notes)


def years(age: str) -> float | None:
    """Years of an age string (PS3.5 6.2, AS); a bare number is taken as years."""
    found = re.fullmatch(r"\s*(\d{1,3})\s*([DWMY]?)\s*", age.upper())
    if found is None:
        return None
    return int(found[1]) / {"D": 365.25, "W": 52.18, "M": 12, "Y": 1, "": 1}[found[2]]
