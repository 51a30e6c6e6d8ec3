"""Predicting one image file: decode, run the network, build the answer."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from service.errors import BundleRefused, InferenceFailed
from service.network.answer import ImageAnswer, ModelAnswer, Prediction, image_answer, model_answer
from service.network.answer import prediction as put_together
from service.network.bundle import Bundle, Manifest, open_bundle
from service.network.gate import Gate, Judgement, open_gate, require_chest_radiograph
from service.network.runtime import Runtime, golden_check, open_runtime
from service.network.runtime.selection import Selection, select
from service.network.scores import findings
from service.network.site import Site, open_site
from service.network.variant_speed import choice_warning
from service.radiograph.exposure import Reason
from service.radiograph.memory_budget import Claim
from service.radiograph.preprocess import ModelInput
from service.radiograph.radiograph import Source
from service.radiograph.reader import RadiographReader, reader
from service.settings import Settings, bundle_folder

log = logging.getLogger("cxr.predict")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A decoded and preprocessed image.

    Attributes:
        input: What the network gets.
        image: What the answer says of the file.
        orientation: DICOM Patient Orientation, where the file tells it.
        warnings: For the reader of the answer.
        reasons: What is unusual about exposure, contrast and border; `warnings` has their
            sentences.
        source: What the file said of its image; None where nobody asks.
    """

    input: ModelInput
    image: ImageAnswer
    orientation: str | None
    warnings: tuple[str, ...]
    reasons: tuple[Reason, ...] = ()
    source: Source | None = None


def prepare(data: bytes, reader: RadiographReader, claim: Claim | None = None) -> Prepared:
    """Decode and preprocess an image file.

    Args:
        data: The file.
        reader: How files are read.
        claim: For memory; one that waits for as long as it takes where left out.

    Raises:
        ClientFault: The file is no radiograph that can be scored; the class says why.
        DeadlineExceeded: There was no memory for it in time.
    """
    with reader.reading_framed(data, claim, reduce=True) as framed:
        radiograph = framed.radiograph
        return Prepared(
            framed.input,
            image_answer(radiograph, framed.input),
            radiograph.source.orientation,
            framed.warnings,
            framed.reasons,
            radiograph.source,
        )


def require_finite(logits: np.ndarray, digest: Callable[[], str]) -> None:
    """Refuse an answer of the network that is none.

    Args:
        logits: float32 (18,).
        digest: Tells the SHA-256 of the pixels, for the error.

    Raises:
        InferenceFailed: A logit is not finite.
    """
    if not math.isfinite(sum(logits.tolist())):
        raise InferenceFailed(
            "The network gave no finite answer for this image.", sha256_pixels=digest()
        )


@dataclass(frozen=True, eq=False)
class Predictor:
    """A bundle with its runtime and its reader.

    Attributes:
        model: What every answer says of the model.
        runtime: What runs the network.
        reader: How files are read.
        bundle: What is served, verified.
        gate: What images are held against.
        note: Why the variant is not the bundle's own choice, for the log; None where it is.
        site: What was fitted to the site; None where nothing was.
    """

    model: ModelAnswer
    runtime: Runtime
    reader: RadiographReader
    bundle: Bundle
    gate: Gate
    note: str | None = None
    site: Site | None = None

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @property
    def fitted(self) -> tuple[str, ...]:
        """The findings that the site file has."""
        return tuple(self.site.file.findings) if self.site else ()

    @cached_property
    def _operating_points(self) -> np.ndarray:
        return np.array(self.manifest.thresholds(), np.float32)

    @property
    def steps(self) -> Sequence[Callable[[], None]]:
        """The runtime's steps, each with the golden check."""
        chosen = self.manifest.variant(self.model.runtime, self.model.precision)
        check = golden_check(self.bundle, chosen)
        return [partial(step, check) for step in self.runtime.steps]

    def choice_warning(self, threads: int | None, *, measured: bool) -> str | None:
        """As `service.network.variant_speed.choice_warning`."""
        chosen = self.manifest.variant(self.model.runtime, self.model.precision)
        return choice_warning(self.bundle, chosen.name, threads, measured=measured)

    def prepare(self, data: bytes, claim: Claim | None = None) -> Prepared:
        """Decode and preprocess an image file; claim and errors as for `prepare`."""
        return prepare(data, self.reader, claim)

    def judge(self, prepared: Prepared, features: np.ndarray) -> Judgement:
        """Say how unusual an image is, by its features, float32 (2560,)."""
        return self.gate.judge(features, prepared.reasons)

    def answer(self, prepared: Prepared, logits: np.ndarray, judgement: Judgement) -> Prediction:
        """Turn one image's logits, float32 (18,), into its answer.

        Raises:
            Unprocessable: With the code `not_a_chest_radiograph`: it is far from every reference.
            InferenceFailed: A logit is not finite.
        """
        require_chest_radiograph(judgement)
        require_finite(logits, lambda: prepared.image.sha256_pixels)
        found = findings(logits, self.manifest.labels, self._operating_points)
        return put_together(
            found, prepared.image, self.model, judgement, prepared.warnings, self.site
        )

    def predict(self, data: bytes) -> Prediction:
        """Score one image file.

        Raises:
            ClientFault: The file is no radiograph that can be scored.
            InferenceFailed: The network gave no finite answer.
        """
        prepared = self.prepare(data)
        outputs = self.runtime.low_latency.run(prepared.input.pixels[None])
        return self.answer(prepared, outputs.logits[0], self.judge(prepared, outputs.features[0]))


def open_predictor(settings: Settings, *, staged: bool = False) -> Predictor:
    """Verify the bundle and the site file that the settings name and load the runtime.

    Args:
        settings: Name them.
        staged: Leave the predictor's steps to the caller: without them it is up in a third of the
            time, and slower where there are several images.

    Raises:
        SetupFault: The bundle, the site file or the runtime is not to be trusted; the message says
            why.
    """
    bundle: Bundle = open_bundle(bundle_folder(settings))
    site = open_site(settings.site, bundle.manifest) if settings.site else None
    chosen, runtime = _open_selected(bundle, settings, staged)
    return Predictor(
        model_answer(bundle.manifest, chosen.variant),
        runtime,
        reader(settings, bundle.manifest.weights.training_ages),
        bundle,
        open_gate(bundle, settings.reference, settings.gate),
        chosen.note,
        site,
    )


def _open_selected(bundle: Bundle, settings: Settings, staged: bool) -> tuple[Selection, Runtime]:
    """Load the selected variant; where it fails and was not asked for, the next.

    Raises:
        BundleRefused: What was asked for fails, or everything does.
    """
    failed: dict[str, str] = {}
    while True:
        chosen = select(
            bundle.manifest, settings.runtime, settings.precision, settings.device, failed
        )
        try:
            return chosen, open_runtime(
                bundle,
                chosen.variant,
                settings.threads,
                settings.device,
                settings.streams,
                settings.max_batch,
                staged=staged,
            )
        except BundleRefused as fault:
            if settings.runtime is not None or settings.precision is not None:
                raise
            log.error("%s; the next variant is tried", fault.message)
            failed[chosen.variant.name] = fault.message
