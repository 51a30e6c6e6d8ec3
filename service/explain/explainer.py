"""Explaining an image file with PyTorch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from service.explain.cam.class_map import CAM, ClassMap, class_activation_map
from service.explain.cam.gradients import BATCH, class_maps
from service.explain.cam.request import MapRequest
from service.explain.explanation import Explanation, explanation
from service.explain.faithfulness import faithfulness
from service.network.bundle import Manifest, open_bundle
from service.network.gate import Gate, Judgement, open_gate, require_chest_radiograph
from service.network.runtime.torchscript import load_network
from service.network.scores import op_norm, sigmoid
from service.network.site import Site, open_site
from service.radiograph.exposure import Reason
from service.radiograph.preprocess import ModelInput
from service.radiograph.reader import RESERVE, RadiographReader, reader
from service.settings import Settings, bundle_folder

log = logging.getLogger("cxr.explain")

PASSES = 2
"""Passes with gradients that run at a time; each keeps up to `BATCH` images' activations."""

FIRST_USE = 192 << 20
"""Bytes that the first explanations leave behind: gradients (100 MB), the passes of a faithful one
(50 MB), highdicom (90 MB; a part of it is what the first file takes anyway)."""


@dataclass(frozen=True, eq=False)
class TracedExplainer:
    """A traced network with its manifest, reader and gate.

    Safe to call from several threads; however many call, `PASSES` bounds the memory.
    """

    manifest: Manifest
    network: torch.jit.ScriptModule
    reader: RadiographReader
    gate: Gate
    site: Site | None = None
    _passes: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(PASSES), repr=False
    )

    def maps(
        self, inputs: Sequence[ModelInput], requests: Sequence[MapRequest]
    ) -> tuple[ClassMap, ...]:
        """One map an image. All requests share one method and layer; targets are their own.

        Args:
            inputs: Images, at least one.
            requests: One per image.
        """
        first = requests[0]
        if any((r.method, r.layer) != (first.method, first.layer) for r in requests):
            raise ValueError("a batch has one method and one layer")
        pixels = np.stack([each.pixels for each in inputs])
        method, layer = first.method, first.layer
        found: list[ClassMap] = []
        for start in range(0, len(pixels), BATCH):
            part = slice(start, start + BATCH)
            outputs = [r.output for r in requests[part]]
            with self._passes:
                if method == CAM:
                    found += self._activation_maps(pixels[part], outputs)
                else:
                    found += class_maps(self.network, pixels[part], outputs, method, layer)
        return tuple(found)

    def _activation_maps(self, pixels: np.ndarray, outputs: Sequence[int]) -> list[ClassMap]:
        with torch.inference_mode():
            found = [each.numpy() for each in self.network(torch.from_numpy(pixels))]
        return [
            replace(class_activation_map(cams, logits, output), features=features)
            for logits, cams, features, output in zip(*found, outputs, strict=True)
        ]

    def scores(self, pixels: np.ndarray, output: int) -> np.ndarray:
        """One target's scores: float32 (N, 1, 224, 224) in [0, 1] to float32 (N,)."""
        with self._passes, torch.inference_mode():
            logits, _, _ = self.network(torch.from_numpy(pixels))
        point = np.float32(self.manifest.thresholds()[output])
        return op_norm(sigmoid(logits[:, output].numpy()), np.full(len(pixels), point))

    def explanation(
        self,
        model_input: ModelInput,
        request: MapRequest,
        served_logit: float | None = None,
        patient_orientation: tuple[str, str] | None = None,
        measure_faithfulness: bool = False,
        exposure: Sequence[Reason] = (),
        served_map: ClassMap | None = None,
        judgement: Judgement | None = None,
    ) -> tuple[Explanation, Judgement]:
        """Explain one score, and say how unusual the image is.

        With a served map and judgement the network is not run a second time.

        Args:
            model_input: What the network sees.
            request: The map that is wanted.
            served_logit: The target's logit by the runtime that predicts; where left out, the
                explainer's own stands for it.
            patient_orientation: DICOM Patient Orientation (0020,0020), where known.
            measure_faithfulness: Also blur and score again: ten more passes.
            exposure: What is unusual about exposure, contrast and border.
            served_map: The map that came with the prediction; made here where left out.
            judgement: As served; judged by the features of the map's pass where left out.

        Raises:
            Unprocessable: With the code `not_a_chest_radiograph`: it is far from every reference.
            InferenceFailed: The network gave no finite answer.
        """
        class_map = served_map or self.maps([model_input], [request])[0]
        judgement = judgement or self.gate.judge(class_map.features, exposure)
        require_chest_radiograph(judgement)
        found = explanation(
            request,
            class_map,
            model_input.geometry,
            self.manifest.thresholds(),
            served_logit=served_logit,
            patient_orientation=patient_orientation,
            site=self.site,
        )
        if found.values is None or not measure_faithfulness:
            return found, judgement
        measured = faithfulness(
            model_input.pixels, found.values, lambda p: self.scores(p, request.output)
        )
        return replace(found, faithfulness=measured), judgement


def open_explainer(settings: Settings) -> TracedExplainer:
    """Verify the bundle that the settings name and load its traced network.

    Raises:
        SetupFault: The bundle or the site file is not to be trusted; the message says why.
    """
    bundle = open_bundle(bundle_folder(settings))
    network = load_network(bundle.path(bundle.manifest.explainer), settings.explain_threads)
    ages = bundle.manifest.weights.training_ages
    radiograph_reader = reader(settings, ages, RESERVE + FIRST_USE)
    explainer = TracedExplainer(
        bundle.manifest,
        network,
        radiograph_reader,
        open_gate(bundle, settings.reference, settings.gate),
        open_site(settings.site, bundle.manifest) if settings.site else None,
    )
    if note := explainer.reader.memory_warning:
        log.warning(note)
    return explainer
