"""What usual radiographs look like to the network: the reference that an image is held against.

A reference holds one or more populations of images (one hospital's radiographs; drawn phantoms).
Of each it keeps the mean of the square roots of the features, their spread, the main directions in
which images differ and how much they differ along and beside these; no image. It is stored as
numbers in NumPy's own format, which is read without pickle.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import BundleRefused
from service.network.bundle import DEPTHS, FEATURES

LAYOUT = 1
"""Version of the file's own layout."""

_ENDS = (0, *np.cumsum(DEPTHS).tolist())
DEPTH_SLICES = tuple(slice(start, end) for start, end in pairwise(_ENDS))
"""Where the features of each depth stand."""

_ARRAYS = ("centre", "inverse_scale", "basis", "weights", "rest")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PopulationRecord(_Record):
    """One population of a reference.

    Distances are in units of the median of images that were not fitted on.
    """

    name: str
    images: int
    sha256_images: str = Field(description="Digest of the pixels that were fitted on.")
    typical: tuple[float, float] = Field(description="5 % and 95 % of the distances.")
    unusual: float = Field(description="Distance over which an image is unusual.")
    refused: float = Field(description="Distance over which an image is refused.")


class ReasonRecord(_Record):
    """A reason that the classifier can give."""

    code: str
    certain: float = Field(description="Probability over which it makes an image unusual.")


class ReferenceRecord(_Record):
    """What a reference was fitted on, and how its thresholds were chosen."""

    layout: int
    weights_sha256: str
    bundle_version: str
    created: str
    alarm_rate: float = Field(
        description="Share of reference images that may be called unusual by their distance."
    )
    thresholds: str = Field(description="How the thresholds were chosen, in words.")
    stability: tuple[float, float, float] | None = Field(
        description="Share of held-out images that is not usual when half of the images are "
        "fitted on: mean, 5 % and 95 % over repetitions."
    )
    populations: tuple[PopulationRecord, ...]
    reasons: tuple[ReasonRecord, ...]


@dataclass(frozen=True, eq=False)
class Population:
    """One population of a reference.

    Attributes:
        record: Name, counts and thresholds.
        centre: float32 (2560,), mean of the square roots of the features.
        inverse_scale: float32 (2560,), one by their standard deviation.
        basis: float32 (K, 2560), the main directions of each depth, over the scaled roots.
        weights: float32 (3, K), what a squared coordinate along each direction adds to the squared
            distance; below 0, for images differ more along it than beside.
        rest: float32 (3,), what the squared length adds.
    """

    record: PopulationRecord
    centre: np.ndarray
    inverse_scale: np.ndarray
    basis: np.ndarray
    weights: np.ndarray
    rest: np.ndarray

    @cached_property
    def _directions(self) -> tuple[np.ndarray, ...]:
        """The basis of each depth, (C, K), as it is multiplied with."""
        return tuple(np.ascontiguousarray(self.basis[:, depth].T) for depth in DEPTH_SLICES)

    def measure(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of images along the main directions, and their distances.

        The squared Mahalanobis distance of each depth with shrunk covariance (Ledoit and Wolf
        2004), its smaller eigenvalues taken as one, relative to its median; then the geometric
        mean over the depths, and its root. Every answer waits for this, so it is one product a
        depth and few calls beside.

        Args:
            features: float32 (N, 2560), at least 0.

        Returns:
            float32 (N, 3 K), and the distances, (N,); 1 is the median of the population.
        """
        along, squared = self._squared(features)
        # A product of six roots is at most 1e38 for squared distances below 1e75.
        return along, (squared ** np.float32(1 / 6)).prod(axis=1)

    def distances(self, features: np.ndarray) -> np.ndarray:
        """How far images are from the population; as `measure`."""
        return self.measure(features)[1]

    def squared_distances(self, features: np.ndarray) -> np.ndarray:
        """The squared distance at each depth: float32 (N, 2560) to (N, 3)."""
        return self._squared(features)[1]

    def _squared(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scaled = np.sqrt(features)
        scaled -= self.centre
        scaled *= self.inverse_scale
        images, directions = len(features), len(self.basis)
        along = np.empty((images, len(DEPTHS), directions), np.float32)
        for number, depth in enumerate(DEPTH_SLICES):
            np.matmul(scaled[:, depth], self._directions[number], out=along[:, number])
        scaled *= scaled
        squared = np.add.reduceat(scaled, _ENDS[:-1], axis=1)
        squared *= self.rest
        squared += (along * along * self.weights).sum(axis=2)
        return along.reshape(images, -1), squared


@dataclass(frozen=True, eq=False)
class Classifier:
    """Multinomial logistic regression on coordinates along the first population's directions.

    Attributes:
        coefficients: float32 (1 + R, 3 K); the first row is that of an image as it should be.
        intercepts: float32 (1 + R,).
    """

    coefficients: np.ndarray
    intercepts: np.ndarray

    def probabilities(self, coordinates: np.ndarray) -> np.ndarray:
        """Probability of each class: float32 (N, 3 K) to (N, 1 + R)."""
        logits = coordinates @ self.coefficients.T + self.intercepts
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference of one set of weights.

    Attributes:
        record: What it was fitted on.
        populations: At least one.
        classifier: Names what is unusual, by the first population's directions.
        sha256: Digest of the file that it was read from; "" where it was just fitted.
    """

    record: ReferenceRecord
    populations: tuple[Population, ...]
    classifier: Classifier
    sha256: str = ""


def save_reference(reference: Reference, path: Path) -> None:
    """Write a reference; the same reference is the same bytes."""
    arrays: dict[str, np.ndarray] = {
        f"{name}_{index}": getattr(population, name)
        for index, population in enumerate(reference.populations)
        for name in _ARRAYS
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        record=np.array(reference.record.model_dump_json()),
        coefficients=reference.classifier.coefficients,
        intercepts=reference.classifier.intercepts,
        **arrays,
    )
    path.write_bytes(buffer.getvalue())


def load_reference(path: Path, weights_sha256: str) -> Reference:
    """Read a reference.

    Args:
        path: The file.
        weights_sha256: Digest of the weights that it must have been fitted for.

    Raises:
        BundleRefused: It cannot be read, is damaged, or belongs to other weights.
    """
    try:
        data = path.read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        record = ReferenceRecord.model_validate(json.loads(str(arrays.pop("record"))))
    except FileNotFoundError as error:
        raise BundleRefused(f"the reference {path} does not exist") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, ValidationError) as error:
        raise BundleRefused(f"{path} is no reference that this service reads") from error
    if record.layout != LAYOUT:
        raise BundleRefused(
            f"{path} has layout {record.layout}; this service reads layout {LAYOUT}"
        )
    if record.weights_sha256 != weights_sha256:
        raise BundleRefused(
            f"{path} was fitted for the weights {record.weights_sha256[:12]}, not for "
            f"{weights_sha256[:12]}: fit one with `cxr reference`"
        )
    try:
        return _put_together(record, arrays, hashlib.sha256(data).hexdigest())
    except (KeyError, ValueError) as error:
        raise BundleRefused(f"{path} is damaged: {error}") from error


def _put_together(
    record: ReferenceRecord, arrays: Mapping[str, np.ndarray], sha256: str
) -> Reference:
    populations = tuple(
        Population(each, *(arrays[f"{name}_{index}"] for name in _ARRAYS))
        for index, each in enumerate(record.populations)
    )
    if not populations:
        raise ValueError("it has no population")
    classifier = Classifier(arrays["coefficients"], arrays["intercepts"])
    depths = len(DEPTHS)
    for population in populations:
        directions = len(population.basis)
        shapes = (FEATURES,), (FEATURES,), (directions, FEATURES), (depths, directions), (depths,)
        for name, shape in zip(_ARRAYS, shapes, strict=True):
            _check(name, getattr(population, name), shape)
    classes = 1 + len(record.reasons)
    width = depths * len(populations[0].basis)
    _check("coefficients", classifier.coefficients, (classes, width))
    _check("intercepts", classifier.intercepts, (classes,))
    return Reference(record, populations, classifier, sha256)


def _check(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
        raise ValueError(f"{name} is not {shape} finite float32 numbers")
