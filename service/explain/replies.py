"""Replies of the explainer: JSON, a PNG file or a DICOM object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL.Image import Image

from service.explain.answer import all_warnings, explanation_answer
from service.explain.cam.request import MapRequest, map_request
from service.explain.drawing.figure import draw
from service.explain.drawing.heat_map import BESIDE, rgb
from service.explain.explainer import TracedExplainer
from service.explain.explanation import Explanation
from service.explain.fields import ExplainFields, ServedPrediction
from service.explain.hotspot import directions
from service.media_types import DICOM, JPEG, JSON, PNG
from service.multipart_related import Part, write_parts
from service.network.answer import ModelAnswer, image_answer, model_answer
from service.network.gate import Judgement
from service.radiograph.encoding import jpeg, png
from service.radiograph.framing import FramedRadiograph
from service.radiograph.preview import halved

if TYPE_CHECKING:  # heavy, and of an extra: imported where an object is written
    from pydicom import Dataset

    from service.explain.dicom.document import ReportKind


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
    """The explanation of a score, how unusual the image is, the model, and every warning."""

    explanation: Explanation
    judgement: Judgement
    model: ModelAnswer
    warnings: tuple[str, ...]


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
        if media_type != DICOM:
            encode = jpeg if media_type == JPEG else png
            picture = _picture(framed, explained, explained.explanation, fields)
            return Reply(encode(picture), media_type), explained.explanation
        from service.explain.dicom.study import source_header

        source = source_header(data)
        pixels = _capture_pixels(framed, explained, fields)
    return Reply(_capture(source, pixels, explained), DICOM), explained.explanation


def _picture(
    framed: FramedRadiograph, explained: Explained, shown: Explanation, fields: ExplainFields
) -> Image:
    warnings = (*explained.judgement.warnings, *framed.warnings)
    return draw(
        framed.radiograph, shown, explained.model, fields.opacity, fields.captions, warnings
    )


def _capture_pixels(
    framed: FramedRadiograph, explained: Explained, fields: ExplainFields
) -> np.ndarray:
    """The picture of a Secondary Capture.

    It stands in an archive without anything beside it: it always has its words, and no map where
    the target is negative.
    """
    small = replace(framed, radiograph=halved(framed.radiograph, fields.picture_side))
    shown = explained.explanation.without_region_of_negative()
    written = fields.model_copy(update={"captions": True})
    return rgb(_picture(small, explained, shown, written))


def _capture(source: Dataset, pixels: np.ndarray, explained: Explained) -> bytes:
    from service.explain.dicom.secondary_capture import secondary_capture

    shown = explained.explanation.without_region_of_negative()
    return secondary_capture(source, pixels, shown, explained.model)


def explanation_reply(
    explainer: TracedExplainer,
    data: bytes,
    fields: ExplainFields,
    served: ServedPrediction | None,
    dicom: bool,
) -> Reply:
    """The explanation as data: as JSON, as a DICOM structured report, or as several objects.

    Arguments and errors as for `heat_map_reply`.
    """
    request = _request(explainer, fields)
    if fields.objects:
        return _objects_reply(explainer, data, fields, served)
    with explainer.reader.reading_framed(data, reduce=True) as framed:
        explained = _explain(explainer, framed, request, served, fields.faithfulness)
        answer = _answer(framed, explained)
    if not dicom:
        return Reply(answer.encode(), JSON)
    from service.explain.dicom.study import source_header

    return Reply(_report("sr", source_header(data), explained), DICOM)


def _objects_reply(
    explainer: TracedExplainer,
    data: bytes,
    fields: ExplainFields,
    served: ServedPrediction | None,
) -> Reply:
    """Several objects of one explanation, as multipart/related: what a DICOM node delivers."""
    from service.explain.dicom.study import source_header

    source = source_header(data)
    claim = explainer.reader.memory.claim(beside=BESIDE_CAPTURE if "sc" in fields.objects else 0)
    request = _request(explainer, fields)
    pixels = None
    reduce = "sc" not in fields.objects
    with explainer.reader.reading_framed(data, claim, reduce=reduce) as framed:
        explained = _explain(explainer, framed, request, served, fields.faithfulness)
        answer = _answer(framed, explained)
        if "sc" in fields.objects:
            pixels = _capture_pixels(framed, explained, fields)
    parts = []
    for kind in fields.objects:
        if kind == "json":
            parts.append(Part(answer.encode(), JSON, kind))
        elif kind == "sc" and pixels is not None:
            parts.append(Part(_capture(source, pixels, explained), DICOM, kind))
        elif kind != "sc":
            parts.append(Part(_report(kind, source, explained), DICOM, kind))
    return Reply(*write_parts(parts, DICOM))


def _answer(framed: FramedRadiograph, explained: Explained) -> str:
    image = image_answer(framed.radiograph, framed.input)
    answer = explanation_answer(
        explained.explanation, image, explained.model, explained.judgement, framed.warnings
    )
    return answer.model_dump_json()


def _report(kind: ReportKind, source: Dataset, explained: Explained) -> bytes:
    from service.explain.dicom.structured_report import structured_report
    from service.explain.dicom.text_report import text_report

    if kind == "basic-text-sr":
        return text_report(source, explained.explanation, explained.model, explained.warnings)
    return structured_report(
        source, explained.explanation, explained.model, explained.warnings, kind
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
        served_map=served.class_map if served else None,
        judgement=served.judgement if served else None,
    )
    variant = (
        manifest.variant(served.runtime, served.precision)
        if served
        else manifest.variant("torchscript")
    )
    model = model_answer(manifest, variant)
    warnings = all_warnings(explanation, model, (*judgement.warnings, *framed.warnings))
    return Explained(explanation, judgement, model, warnings)
