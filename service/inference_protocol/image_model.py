"""The model `cxr`: whole image files in, scores and decisions out."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.errors import (
    ClientFault,
    CxrError,
    InferenceFailed,
    MalformedRequest,
    Overloaded,
)
from service.http.batch_answer import score_each
from service.http.uploads import ByteBudget, Upload
from service.inference_protocol.model import ModelFacts
from service.inference_protocol.request import InferRequest
from service.inference_protocol.statistics import Statistics
from service.inference_protocol.tensors import InputTensor, TensorSpec, bytes_elements
from service.network.predictor import Predictor
from service.serving.prediction_lane import PredictionLane, Scored
from service.settings import Settings

NAME = "cxr"


def _facts(predictor: Predictor, settings: Settings) -> ModelFacts:
    labels = predictor.manifest.named()
    columns = (len(labels),)
    return ModelFacts(
        name=NAME,
        version=predictor.manifest.version,
        platform=f"{predictor.model.runtime}_{predictor.model.precision}",
        labels=labels,
        input=TensorSpec("image", "BYTES"),
        outputs=(
            TensorSpec("probability", "FP32", columns),
            TensorSpec("score", "FP32", columns),
            TensorSpec("positive", "BOOL", columns),
            TensorSpec("labels", "BYTES", columns),
            TensorSpec("warnings", "BYTES"),
            TensorSpec("verdict", "BYTES"),
            TensorSpec("error", "BYTES"),
            *(_site_outputs(columns) if predictor.site else ()),
        ),
        max_images=settings.max_images,
    )


def _site_outputs(columns: tuple[int]) -> tuple[TensorSpec, ...]:
    """What a site file adds."""
    return (
        TensorSpec("calibrated_probability", "FP32", columns),
        TensorSpec("site_decision", "BYTES", columns),
        TensorSpec("site_sha256", "BYTES"),
    )


class ImageModel:
    """Decodes and scores image files, each as `/predict` does.

    Args:
        lane: Where `/predict` goes too.
        predictor: What it predicts with.
        settings: Limits.
    """

    def __init__(self, lane: PredictionLane, predictor: Predictor, settings: Settings) -> None:
        self.facts = _facts(predictor, settings)
        self.statistics = Statistics()
        self._lane = lane
        self._settings = settings

    def accept(self, request: InferRequest, intake: ByteBudget) -> ImageWork:
        """Take the files out of a request; as `Model.accept`."""
        tensor, count = self.facts.the_input(request)
        files: list[Upload] = []
        work = ImageWork(files, self.facts.labels, self.statistics, self._lane, self._settings)
        try:
            for data in _files(tensor, count):
                intake.take(len(data))
                files.append(Upload(data, intake))
        except BaseException:
            work.close()
            raise
        return work


@dataclass(frozen=True, eq=False)
class ImageWork:
    """The files of one request; as `Work`."""

    files: Sequence[Upload]
    labels: tuple[str, ...]
    statistics: Statistics
    lane: PredictionLane
    settings: Settings

    @property
    def images(self) -> int:
        return len(self.files)

    async def run(self, deadline: float | None) -> Mapping[str, Sequence[Any]]:
        """Score the files.

        One that is refused is a row of its own: NaN, not positive, and its error's code. That one
        is the only file of a request, or that there was no time or room for one, is an error of
        the request.
        """
        outcomes = await score_each(self.lane, self.files, self.settings, deadline)
        rows = [self._row(outcome) for outcome in outcomes]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def _row(self, outcome: Scored | CxrError) -> dict[str, Any]:
        if isinstance(outcome, CxrError):
            if len(self.files) == 1 or not _concerns_one_image(outcome):
                raise outcome
            nothing = [math.nan] * len(self.labels)
            return {
                "probability": nothing,
                "score": nothing,
                "positive": [False] * len(self.labels),
                "labels": self.labels,
                "warnings": "[]",
                "verdict": "refused" if "distance" in outcome.detail else "",
                "error": outcome.code,
                "calibrated_probability": nothing,
                "site_decision": [""] * len(self.labels),
                "site_sha256": "",
            }
        timings = outcome.timings
        self.statistics.scored(timings.decode, timings.queue, timings.inference, timings.batch_size)
        answer = outcome.prediction
        findings = [answer.pathologies[label] for label in self.labels]
        at_site = [finding.site for finding in findings]
        return {
            "probability": [finding.probability for finding in findings],
            "score": [finding.score for finding in findings],
            "positive": [finding.positive for finding in findings],
            "labels": self.labels,
            "warnings": json.dumps(answer.warnings, ensure_ascii=False),
            "verdict": answer.input.verdict,
            "error": "",
            "calibrated_probability": [
                found.calibrated_probability if found else math.nan for found in at_site
            ],
            "site_decision": [found.decision if found else "" for found in at_site],
            "site_sha256": answer.site.sha256 if answer.site else "",
        }

    def close(self) -> None:
        """Drop the files."""
        for file in self.files:
            file.drop()


def _concerns_one_image(fault: CxrError) -> bool:
    """Whether the other images of a request can be answered for all that."""
    refused = isinstance(fault, ClientFault) and not isinstance(fault, Overloaded)
    return refused or isinstance(fault, InferenceFailed)


def _files(tensor: InputTensor, count: int) -> Iterator[bytes]:
    """The files in a tensor.

    Raises:
        MalformedRequest: They are not as many as its shape says, or text where bytes belong.
    """
    if tensor.raw is not None:
        yield from bytes_elements(tensor.raw, count, tensor.name)
        return
    elements = tensor.values or ()
    while len(elements) == 1 and isinstance(elements[0], list):  # [[a, b]] and [[a], [b]] below
        elements = elements[0]
    if len(elements) != count:
        raise MalformedRequest(
            f"The tensor {tensor.name!r} has {len(elements)} elements where its shape says {count}."
        )
    for element in elements:
        yield _file(
            element[0] if isinstance(element, list) and len(element) == 1 else element, tensor
        )


def _file(element: Any, tensor: InputTensor) -> bytes:
    if isinstance(element, bytes) and not tensor.base64:
        return element
    if not tensor.base64 or not isinstance(element, str | bytes):
        raise MalformedRequest(
            f"No file is text. Send {tensor.name!r} in base64 with the parameter "
            '"content_type": "base64", or as binary data.',
            code="text_for_file",
        )
    try:
        return base64.b64decode(element, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedRequest(f"An element of {tensor.name!r} is no base64.") from error
