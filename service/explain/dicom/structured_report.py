"""An explanation as a DICOM structured report: Comprehensive 3D SR, TID 1500."""

from __future__ import annotations

import highdicom as hd
import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes

from service.explain.dicom.concepts import (
    CHEST_RADIOGRAPHY,
    MOST_EVIDENCE,
    NO_UNITS,
    PROBABILITY,
    SCHEME,
    SCORE,
    pathology,
)
from service.explain.dicom.study import (
    MANUFACTURER,
    device_uid,
    new_series,
    patient_orientation,
    taking_over,
    to_bytes,
)
from service.explain.explanation import Explanation
from service.explain.hotspot import Box, patient_side
from service.network.answer import ModelAnswer

SERIES_NUMBER = 9102


def structured_report(source: Dataset, explanation: Explanation, model: ModelAnswer) -> bytes:
    """Write an explanation as a measurement report in the source's study.

    Score and probability are measurements of the image. Where there is a map, they are given
    for the box around its peak, in the source's own pixels, with the patient's side where the
    source tells it; positive or negative is a qualitative evaluation of the target. Where there
    is no map, they stand for the whole image, and no region is claimed.

    Args:
        source: As `source_header` reads it.
        explanation: Of the source image.
        model: What scored it.

    Returns:
        A DICOM file.
    """
    series = new_series(SERIES_NUMBER)
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(model)),
        procedure_reported=CHEST_RADIOGRAPHY,
        imaging_measurements=[_measurements(source, explanation, model)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    with taking_over():
        document = sr.Comprehensive3DSR(
            evidence=[source],
            content=report,
            series_instance_uid=series.series_instance_uid,
            series_number=series.series_number,
            sop_instance_uid=series.sop_instance_uid,
            instance_number=series.instance_number,
            manufacturer=MANUFACTURER,
            is_complete=True,
            is_final=False,
            is_verified=False,
        )
        document.SeriesDescription = f"Explanation: {explanation.request.target}"[:64]
        document.ManufacturerModelName = model.name[:64]
        document.SoftwareVersions = model.version[:64]
        document.CodingSchemeIdentificationSequence = [_private_scheme()]
        return to_bytes(document)


def _observer(model: ModelAnswer) -> sr.ObserverContext:
    return sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=device_uid(model),
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=model.name,
            serial_number=model.version,
        ),
    )


def _measurements(
    source: Dataset, explanation: Explanation, model: ModelAnswer
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations | sr.MeasurementsAndQualitativeEvaluations:
    served = explanation.served
    verdict = codes.SCT.Positive if served.positive else codes.SCT.Negative
    shared = {
        "tracking_identifier": sr.TrackingIdentifier(uid=hd.UID(), identifier="heat map"),
        "finding_type": MOST_EVIDENCE,
        "algorithm_id": _algorithm(explanation, model),
        "measurements": [
            sr.Measurement(name=SCORE, value=round(served.score, 6), unit=NO_UNITS),
            sr.Measurement(name=PROBABILITY, value=round(served.probability, 6), unit=NO_UNITS),
        ],
        "qualitative_evaluations": [
            sr.QualitativeEvaluation(name=pathology(explanation.request.target), value=verdict)
        ],
    }
    image = (source.SOPClassUID, source.SOPInstanceUID)
    if explanation.place is None:
        whole = {**shared, "finding_type": pathology(explanation.request.target)}
        return sr.MeasurementsAndQualitativeEvaluations(
            **whole, source_images=[sr.SourceImageForMeasurementGroup(*image)]
        )
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        **shared,
        finding_sites=[_site(source, explanation)],
        referenced_region=sr.ImageRegion(
            graphic_type=sr.GraphicTypeValues.POLYLINE,
            graphic_data=_corners(explanation.place.box),
            source_image=sr.SourceImageForRegion(*image),
        ),
    )


def _algorithm(explanation: Explanation, model: ModelAnswer) -> sr.AlgorithmIdentification:
    request = explanation.request
    parameters = [
        f"method {request.method} at {request.layer}",
        f"predicted by {model.runtime} {model.precision}",
        f"weights {model.weights}, SHA-256 {model.weights_sha256}",
        *([f"most evidence: {explanation.words}"] if explanation.words else []),
        *([f"no map: {explanation.reason}"] if explanation.reason else []),
        *(["demo weights, not for clinical use"] if model.demo else []),
    ]
    return sr.AlgorithmIdentification(
        name=model.name, version=model.version, parameters=parameters, manufacturer=MANUFACTURER
    )


def _site(source: Dataset, explanation: Explanation) -> sr.FindingSite:
    """The chest, on the patient's side where it is known."""
    side = None
    orientation = patient_orientation(source)
    if explanation.place is not None:
        side = patient_side(explanation.place, explanation.geometry, orientation)
    laterality = {"left": codes.SCT.Left, "right": codes.SCT.Right}.get(side or "")
    return sr.FindingSite(anatomic_location=codes.SCT.Chest, laterality=laterality)


def _corners(box: Box) -> np.ndarray:
    """A closed outline in (column, row), from the top left corner of the top left pixel."""
    left, top, right, bottom = box.left, box.top, box.left + box.width, box.top + box.height
    outline = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return np.array(outline, float)


def _private_scheme() -> Dataset:
    """Who is responsible for the private codes, as every report that uses them must say."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = SCHEME
    scheme.CodingSchemeName = "Concepts of cxr-pneumonia"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    return scheme
