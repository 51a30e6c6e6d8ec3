"""Replies of the explainer: JSON, a PNG file or a DICOM object."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from service.explain.answer import explanation_answer
from service.explain.cam.request import MapRequest, map_request
from service.explain.drawing.figure import draw
from service.explain.drawing.heat_map import BESIDE, rgb
from service.explain.explainer import TracedExplainer
from service.explain.explanation import Explanation
from service.explain.fields import ExplainFields, ServedPrediction
from service.explain.hotspot import directions
from service.media_types import DICOM, JPEG, JSON, PNG
from service.network.answer import ModelAnswer, image_answer, model_answer
from service.network.gate import Judgement
from service.radiograph.encoding import jpeg, png
from service.radiograph.framing import FramedRadiograph


@dataclass(frozen=True)
class Reply:
    """The body of an answer and its media type."""

    content: bytes
    media_type: str


BESIDE_CAPTURE = 16
"""Bytes a pixel that a Secondary Capture takes beside the radiograph's own pixels: the picture, an
array of it, and the copies that are made of that when it is written."""


@dataclass(frozen=True, eq=False)
class Explained:
    """The explanation of a score, how unusual the image is, and the model that scored it."""

    explanation: Explanation
    judgement: Judgement
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
    return draw_as(DICOM if dicom else PNG, explainer, data, fields, served)[0]


def draw_as(
    media_type: str,
    explainer: TracedExplainer,
    data: bytes,
    fields: ExplainFields,
    served: ServedPrediction | None = None,
) -> tuple[Reply, Explanation]:
    """Explain a score and draw its heat map over the radiograph in one of the offered formats.

    Args:
        media_type: PNG, JPEG, or DICOM for a Secondary Capture in the source's study.
        explainer: The traced network.
        data: The image file; a DICOM file where DICOM is asked for.
        fields: Which map, drawn how, and whether faithfulness is measured.
        served: The prediction that is explained; the explainer's own where None.

    Raises:
        ClientFault: The file is not to be worked on, or its attributes cannot be taken over.
        ServerFault: The network failed.
    """
    request = _request(explainer, fields)
    beside = BESIDE_CAPTURE if media_type == DICOM else BESIDE
    claim = explainer.reader.memory.claim(beside=beside)
    with explainer.reader.reading_framed(data, claim) as framed:
        explained = _explain(explainer, framed, request, served, fields.faithfulness)
        explanation = explained.explanation
        drawing = partial(
            draw,
            framed.radiograph,
            explanation,
            explained.model,
            fields.opacity,
            fields.captions,
        )
        if media_type != DICOM:
            encode = jpeg if media_type == JPEG else png
            return Reply(encode(drawing()), media_type), explanation
        from service.explain.dicom.secondary_capture import secondary_capture
        from service.explain.dicom.study import source_header

        source = source_header(data)
        pixels = rgb(drawing())
    return Reply(
        secondary_capture(source, pixels, explanation, explained.model), DICOM
    ), explanation


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
    request = _request(explainer, fields)
    with explainer.reader.reading_framed(data, reduce=True) as framed:
        explained = _explain(explainer, framed, request, served, fields.faithfulness)
        image, warnings = image_answer(framed.radiograph, framed.input), framed.warnings
    if not dicom:
        answer = explanation_answer(
            explained.explanation, image, explained.model, explained.judgement, warnings
        )
        return Reply(answer.model_dump_json().encode(), JSON)
    from service.explain.dicom.structured_report import structured_report
    from service.explain.dicom.study import source_header

    return Reply(
        structured_report(source_header(data), explained.explanation, explained.model), DICOM
    )


def _request(explainer: TracedExplainer, fields: ExplainFields) -> MapRequest:
    return map_request(explainer.manifest.labels, fields.target, fields.method, fields.layer)


def _explain(
    explainer: TracedExplainer,
    framed: FramedRadiograph,
    request: MapRequest,
    served: ServedPrediction | None,
    measure_faithfulness: bool,
) -> Explained:
    manifest = explainer.manifest
    explanation, judgement = explainer.explanation(
        framed.input,
        request,
        served_logit=served.logit if served else None,
        patient_orientation=directions(framed.radiograph.source.orientation),
        measure_faithfulness=measure_faithfulness,
        exposure=framed.reasons,
    )
    variant = (
        manifest.variant(served.runtime, served.precision)
        if served
        else manifest.variant("torchscript")
    )
    return Explained(explanation, judgement, model_answer(manifest, variant))
