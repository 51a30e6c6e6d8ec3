"""A drawn heat map as a DICOM Secondary Capture image."""

from __future__ import annotations

from hashlib import sha256

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from service.explain.dicom.study import (
    MANUFACTURER,
    date_from_source,
    derived_series,
    patient_orientation,
    taking_over,
    to_bytes,
)
from service.explain.explanation import Explanation
from service.network.answer import ModelAnswer

SERIES_NUMBER = 9101

_HANDED_ON = (
    "BurnedInAnnotation",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
"""What was true of the source's pixels and so is of these: once lossy, always lossy."""


def secondary_capture(
    source: Dataset, picture: np.ndarray, explanation: Explanation, model: ModelAnswer
) -> bytes:
    """Write a picture as a Secondary Capture image in the source's study.

    Args:
        source: As `source_header` reads it.
        picture: uint8 (rows, columns, 3), with target, score, model and notices written in it.
        explanation: What is drawn.
        model: What scored it.

    Returns:
        A DICOM file, uncompressed.
    """
    settings = (
        *explanation.settings,
        *picture.shape,
        sha256(np.ascontiguousarray(picture).data).hexdigest(),
    )
    series = derived_series(source, model, "secondary capture", settings, SERIES_NUMBER)
    with taking_over():
        image = hd.sc.SCImage.from_ref_dataset(
            ref_dataset=source,
            pixel_array=picture,
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            series_instance_uid=series.series_instance_uid,
            sop_instance_uid=series.sop_instance_uid,
            series_number=series.series_number,
            instance_number=series.instance_number,
            manufacturer=MANUFACTURER,
            # It insists on one; what is true of the source is set below, which may be unknown.
            patient_orientation=("L", "F"),
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        image.PatientOrientation = list(patient_orientation(source) or ())
        for name in _HANDED_ON:
            if name in source:
                setattr(image, name, source[name].value)
        target = explanation.request.target.replace("_", " ")
        image.SeriesDescription = f"Heat map: {target}"[:64]
        image.BodyPartExamined = source.get("BodyPartExamined") or "CHEST"
        image.ManufacturerModelName = model.name[:64]
        image.SoftwareVersions = model.version[:64]
        image.ImageType = ["DERIVED", "SECONDARY"]
        image.ImageComments = explanation.sentence
        image.DerivationDescription = (
            f"{explanation.request.method} at {explanation.request.layer} for {target}, "
            f"model {model.name} {model.version}"
            + (", demo weights, not for clinical use" if model.demo else "")
        )[:1024]
        date_from_source(image, source)
        image.DateOfSecondaryCapture = image.ContentDate
        image.TimeOfSecondaryCapture = image.ContentTime
        laterality = source.get("Laterality") or source.get("ImageLaterality")
        if laterality or image.BodyPartExamined != "CHEST":  # unknown of what may be paired
            image.Laterality = laterality
        image.SourceImageSequence = [_reference(source)]
        return to_bytes(image)


def _reference(source: Dataset) -> Dataset:
    """The source image, as what this one was made from."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    purpose = hd.sr.CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
    reference.PurposeOfReferenceCodeSequence = [purpose]
    return reference
