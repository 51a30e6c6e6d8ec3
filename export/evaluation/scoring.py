"""The answers for a whole dataset, as the service gives them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from export.evaluation.dataset import LabelledImage
from export.evaluation.records import Model, Refused
from service.archive.pipeline import score_each
from service.errors import CxrError
from service.network.answer import Prediction
from service.network.predictor import Predictor
from service.radiograph.preprocess import Geometry
from service.settings import Settings

INPUT_COLUMN = "input"
"""Subgroups by how unusual the images are."""


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """One image's answer and what its heat maps are drawn from.

    Attributes:
        image: With its labels.
        answer: What the service says of it.
        cams: float32 (P, 7, 7), class activation maps of the evaluated pathologies.
        geometry: Where the network's square lies in the image.
        orientation: DICOM Patient Orientation, where the file tells it.
    """

    image: LabelledImage
    answer: Prediction
    cams: np.ndarray
    geometry: Geometry
    orientation: str | None


@dataclass(frozen=True, eq=False)
class Scored:
    """A dataset's answers.

    Attributes:
        model: What answered.
        pathologies: That are evaluated, P.
        images: Those that were scored, N, in the dataset's order.
        refused: Those that were not.
        fitted: Pathologies that the site file has; none without one.
    """

    model: Model
    pathologies: tuple[str, ...]
    images: tuple[ScoredImage, ...]
    refused: tuple[Refused, ...]
    fitted: tuple[str, ...] = ()

    @cached_property
    def probabilities(self) -> np.ndarray:
        """float64 (N, P), the float32 probabilities of the answers."""
        return self._table(lambda answer, label: answer.pathologies[label].probability, np.float64)

    @cached_property
    def scores(self) -> np.ndarray:
        """float64 (N, P), 0.5 is the operating point."""
        return self._table(lambda answer, label: answer.pathologies[label].score, np.float64)

    @cached_property
    def positive(self) -> np.ndarray:
        """Bool (N, P), the answers' own decisions."""
        return self._table(lambda answer, label: answer.pathologies[label].positive, np.bool_)

    def known(self, label: str) -> np.ndarray:
        """Bool (N,), whether it is known if an image shows the finding."""
        return np.array([label in one.image.labels for one in self.images], bool)

    def truth(self, label: str) -> np.ndarray:
        """Bool (N,), whether an image shows the finding; False where that is not known."""
        return np.array([one.image.labels.get(label, False) for one in self.images], bool)

    @property
    def digest(self) -> str:
        """SHA-256 over file name, scored pixels and labels of every image, in order."""
        digest = hashlib.sha256()
        for one in self.images:
            labels = [f"{label}={int(shows)}" for label, shows in sorted(one.image.labels.items())]
            parts = (one.image.name, one.answer.image.sha256_pixels, *labels)
            digest.update(("\t".join(parts) + "\n").encode())
        return digest.hexdigest()

    def _table(self, cell: Callable[[Prediction, str], float], kind: type) -> np.ndarray:
        rows = [[cell(one.answer, label) for label in self.pathologies] for one in self.images]
        return np.array(rows, kind).reshape(len(self.images), len(self.pathologies))


def score(
    predictor: Predictor,
    images: Sequence[LabelledImage],
    pathologies: Sequence[str],
    settings: Settings,
    tick: Callable[[], None],
) -> Scored:
    """Score a dataset's images; those that are refused are listed, never counted.

    Args:
        predictor: What answers; it names every pathology.
        images: Of the dataset.
        pathologies: That are evaluated.
        settings: How many threads decode, and how many images make a batch.
        tick: Called once an image.
    """
    outputs = [predictor.manifest.labels.index(label) for label in pathologies]
    scored: list[ScoredImage] = []
    refused: list[Refused] = []
    outcomes = score_each(
        predictor,
        (image.path for image in images),
        decoders=settings.decoders,
        max_batch=settings.max_batch,
    )
    for image, outcome in zip(images, outcomes, strict=True):
        tick()
        if outcome.prediction is None or outcome.evidence is None:
            fault = outcome.fault or CxrError("no answer")
            refused.append(Refused(file=image.name, code=fault.code, message=fault.message))
            continue
        seen = outcome.evidence
        verdict = outcome.prediction.input.verdict
        grouped = replace(image, groups={**image.groups, INPUT_COLUMN: verdict})
        scored.append(
            ScoredImage(
                grouped, outcome.prediction, seen.cams[outputs], seen.geometry, seen.orientation
            )
        )
    return Scored(
        _model(predictor), tuple(pathologies), tuple(scored), tuple(refused), predictor.fitted
    )


def _model(predictor: Predictor) -> Model:
    answering = predictor.model
    return Model(
        bundle=answering.name,
        version=answering.version,
        weights=answering.weights,
        weights_sha256=answering.weights_sha256,
        runtime=answering.runtime,
        precision=answering.precision,
        demo=answering.demo,
    )
