"""What the explainer's process answers: an explanation as JSON, a picture, or a DICOM object."""

from __future__ import annotations

from dataclasses import dataclass

from service.explain.answer import explanation_answer
from service.explain.cam.request import map_request
from service.explain.drawing.figure import draw
from service.explain.explainer import TracedExplainer
from service.explain.explanation import Explanation
from service.explain.fields import ExplainFields, ServedPrediction
from service.explain.hotspot import directions
from service.media_types import DICOM, JPEG, JSON, PNG
from service.network.answer import ModelAnswer, image_answer, model_answer
from service.radiograph.encoding import jpeg, png
from service.radiograph.framing import FramedRadiograph


@dataclass(frozen=True)
class Reply:
    """The body of an answer and its media type."""

    content: bytes
    media_type: str


@dataclass(frozen=True, eq=False)
class Explained:
    """The explanation of a score, with the image that was scored.

    Attributes:
        framed: The image and the network's input.
        explanation: Of the score.
        model: The model that scored it.
    """

    framed: FramedRadiograph
    explanation: Explanation
    model: ModelAnswer


def heat_map_reply(
    explainer: TracedExplainer,
    data: bytes,
    fields: ExplainFields,
    served: ServedPrediction | None,
    dicom: bool,
) -> Reply:
    """The heat map drawn over the radiograph, as PNG or as a DICOM Secondary Capture.

    Args:
        explainer: The traced network.
        data: The image file; a DICOM file where `dicom` is asked for.
        fields: Which map, drawn how.
        served: The prediction that is explained; the explainer's own where None.
        dicom: Whether to answer DICOM.

    Raises:
        ClientFault: The file or the fields are not to be worked on.
        ServerFault: The network failed.
    """
    explained = explain(explainer, data, fields, served, full=True)
    return draw_as(DICOM if dicom else PNG, explained, fields, data)


def draw_as(media_type: str, explained: Explained, fields: ExplainFields, data: bytes) -> Reply:
    """Draw a heat map over its radiograph in one of the formats that are offered.

    Args:
        media_type: PNG, JPEG, or DICOM for a Secondary Capture in the source's study.
        explained: The explanation, of the radiograph at full resolution.
        fields: How to draw it.
        data: The image file; a DICOM file where DICOM is asked for.

    Raises:
        NotAnImage: DICOM is asked for and the file is none.
        Unprocessable: The file's attributes cannot be taken over into a new object.
    """
    drawn = draw(
        explained.framed.radiograph,
        explained.explanation,
        explained.model,
        fields.opacity,
        fields.captions,
    )
    if media_type != DICOM:
        return Reply(jpeg(drawn) if media_type == JPEG else png(drawn), media_type)
    from service.explain.dicom.secondary_capture import secondary_capture
    from service.explain.dicom.study import source_header

    source = source_header(data)
    return Reply(secondary_capture(source, drawn, explained.explanation, explained.model), DICOM)


def explanation_reply(
    explainer: TracedExplainer,
    data: bytes,
    fields: ExplainFields,
    served: ServedPrediction | None,
    dicom: bool,
) -> Reply:
    """The explanation as data, as JSON or as a DICOM structured report.

    Arguments and errors as for `heat_map_reply`.
    """
    found = explain(explainer, data, fields, served, full=False)
    if not dicom:
        radiograph = found.framed.radiograph
        image = image_answer(radiograph, found.framed.input)
        answer = explanation_answer(found.explanation, image, found.model, found.framed.warnings)
        return Reply(answer.model_dump_json().encode(), JSON)
    from service.explain.dicom.structured_report import structured_report
    from service.explain.dicom.study import source_header

    return Reply(structured_report(source_header(data), found.explanation, found.model), DICOM)


def explain(
    explainer: TracedExplainer,
    data: bytes,
    fields: ExplainFields,
    served: ServedPrediction | None,
    full: bool,
) -> Explained:
    """Read an image file and explain the score of one finding on it.

    Args:
        explainer: The traced network.
        data: The image file.
        fields: Which map.
        served: The prediction that is explained; the explainer's own where None.
        full: Whether the radiograph is to be drawn on: it is decoded at full resolution.

    Raises:
        ClientFault: The file or the fields are not to be worked on.
        ServerFault: The network failed.
    """
    manifest = explainer.manifest
    request = map_request(manifest.labels, fields.target, fields.method, fields.layer)
    framed = explainer.reader.read_framed(data, reduce=not full)
    explanation = explainer.explanation(
        framed.input,
        request,
        served_logit=served.logit if served else None,
        patient_orientation=directions(framed.radiograph.source.orientation),
        measure_faithfulness=fields.faithfulness,
    )
    variant = (
        manifest.variant(served.runtime, served.precision)
        if served
        else manifest.variant("torchscript")
    )
    return Explained(framed, explanation, model_answer(manifest, variant))
