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
from service.media_types import DICOM, JSON, PNG
from service.network.answer import ModelAnswer, image_answer, model_answer
from service.radiograph.framing import FramedRadiograph
from service.radiograph.png import png


@dataclass(frozen=True)
class Reply:
    """The body of an answer and its media type."""

    content: bytes
    media_type: str


@dataclass(frozen=True, eq=False)
class _Explained:
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
    found = _explain(explainer, data, fields, served, full=True)
    radiograph = found.framed.radiograph
    drawn = draw(radiograph, found.explanation, found.model, fields.opacity, fields.captions)
    if not dicom:
        return Reply(png(drawn), PNG)
    from service.explain.dicom.secondary_capture import secondary_capture
    from service.explain.dicom.study import source_header

    source = source_header(data)
    return Reply(secondary_capture(source, drawn, found.explanation, found.model), DICOM)


def explanation_reply(
    explainer: TracedExplainer,
    data: bytes,
    fields: ExplainFields,
    served: ServedPrediction | None,
    dicom: bool,
) -> Reply:
    """The explanation as data, as JSON or as a DICOM structured report.

    Arguments and errors as for `picture`.
    """
    found = _explain(explainer, data, fields, served, full=False)
    if not dicom:
        radiograph = found.framed.radiograph
        image = image_answer(radiograph, found.framed.input)
        answer = explanation_answer(found.explanation, image, found.model, found.framed.warnings)
        return Reply(answer.model_dump_json().encode(), JSON)
    from service.explain.dicom.structured_report import structured_report
    from service.explain.dicom.study import source_header

    return Reply(structured_report(source_header(data), found.explanation, found.model), DICOM)


def _explain(
    explainer: TracedExplainer,
    data: bytes,
    fields: ExplainFields,
    served: ServedPrediction | None,
    full: bool,
) -> _Explained:
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
    return _Explained(framed, explanation, model_answer(manifest, variant))
