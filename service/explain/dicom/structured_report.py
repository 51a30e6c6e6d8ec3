"""An explanation as a DICOM structured report of measurements: TID 1500."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes

from service.explain.dicom.concepts import (
    ENGLISH,
    MOST_EVIDENCE,
    NO_UNITS,
    PROBABILITY,
    PROCEDURE,
    QUALITATIVE_EVALUATIONS,
    SCORE,
    pathology,
)
from service.explain.dicom.document import ReportKind, document, observer
from service.explain.dicom.study import (
    NewSeries,
    derived_series,
    patient_orientation,
    taking_over,
)
from service.explain.explanation import Explanation
from service.explain.hotspot import Box, patient_side
from service.network.answer import ModelAnswer

SERIES_NUMBER = 9102


def structured_report(
    source: Dataset,
    explanation: Explanation,
    model: ModelAnswer,
    warnings: Iterable[str],
    kind: ReportKind = "sr",
) -> bytes:
    """Write an explanation as a measurement report in the source's study.

    Score and probability are measurements of the image. Where there is a map, they are given
    for the box around its peak, in the source's own pixels, with the patient's side where the
    source tells it. Where there
    is no map, or the target is negative, they stand for the whole image, and no region is claimed.
    The decision, as a code and in words, and every warning are qualitative evaluations.

    Args:
        source: As `source_header` reads it.
        explanation: Of the source image.
        model: What scored it.
        warnings: Every sentence that its reader should see.
        kind: Of the SOP class; no Basic Text SR, which has no numbers.

    Returns:
        A DICOM file.
    """
    explanation = explanation.without_region_of_negative()
    series = derived_series(source, model, kind, explanation.settings, SERIES_NUMBER)
    with taking_over():
        content = sr.MeasurementReport(
            observation_context=sr.ObservationContext(observer_device_context=observer(model)),
            procedure_reported=PROCEDURE,
            imaging_measurements=[_measurements(source, explanation, model, series)],
            title=codes.DCM.ImagingMeasurementReport,
            language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(
                ENGLISH
            ),
        )
        content[0].ContentSequence.append(_evaluations(explanation, warnings))
    target = explanation.request.target
    return document(kind, source, content, series, model, f"Explanation: {target}")


def _evaluations(explanation: Explanation, warnings: Iterable[str]) -> sr.ContainerContentItem:
    """The decision as a code and in words, and the warnings (TID 1500, rows 12 to 14)."""
    container = sr.ContainerContentItem(
        name=QUALITATIVE_EVALUATIONS, relationship_type=sr.RelationshipTypeValues.CONTAINS
    )
    decision = codes.SCT.Positive if explanation.served.positive else codes.SCT.Negative
    contains = sr.RelationshipTypeValues.CONTAINS
    container.ContentSequence = sr.ContentSequence(
        [
            sr.CodeContentItem(pathology(explanation.request.target), decision, contains),
            *(
                sr.TextContentItem(codes.DCM.Comment, sentence, contains)
                for sentence in (explanation.sentence, *warnings)
            ),
        ]
    )
    return container


def _measurements(
    source: Dataset, explanation: Explanation, model: ModelAnswer, series: NewSeries
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations | sr.MeasurementsAndQualitativeEvaluations:
    served = explanation.served
    shared = {
        "tracking_identifier": sr.TrackingIdentifier(
            uid=series.tracking_uid, identifier="heat map"
        ),
        "finding_type": MOST_EVIDENCE,
        "algorithm_id": _algorithm(explanation, model),
        "measurements": [
            sr.Measurement(name=SCORE, value=round(served.score, 6), unit=NO_UNITS),
            sr.Measurement(name=PROBABILITY, value=round(served.probability, 6), unit=NO_UNITS),
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
        *([explanation.site_words] if explanation.site_words else []),
        *([f"most evidence: {explanation.words}"] if explanation.words else []),
        *([f"no map: {explanation.reason}"] if explanation.reason else []),
        *(["demo weights, not for clinical use"] if model.demo else []),
    ]
    return sr.AlgorithmIdentification(name=model.name, version=model.version, parameters=parameters)


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
