"""From the bytes of a file to a heat map over it; the only part of the service with PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from service.bundle import Manifest, open_bundle
from service.decode import decode
from service.gradcam import gradcam, target_index
from service.heatmap import overlay, png
from service.preprocess import preprocess
from service.runtime.torchscript import load_network
from service.scores import findings
from service.settings import Settings, bundle_folder


@dataclass(frozen=True, eq=False)
class Drawn:
    """A heat map as a picture.

    Attributes:
        png: The overlay in the radiograph's own geometry, as a PNG file.
        score: The target's score as PyTorch computes it.
        empty: Whether nothing in the image speaks for the target.
    """

    png: bytes
    score: float
    empty: bool


@dataclass(frozen=True, eq=False)
class Explainer:
    """A traced network and the words of its bundle. Safe to call from several threads."""

    manifest: Manifest
    network: torch.jit.ScriptModule

    def explain(self, data: bytes, target: str) -> Drawn:
        """Draw the Grad-CAM of one target over an image file.

        Raises:
            ClientFault: The file is no radiograph that can be scored.
            UnknownTarget: These weights do not name the target.
        """
        labels, thresholds = self.manifest.labels, self.manifest.thresholds()
        index = target_index(target, labels)
        radiograph = decode(data)
        explanation = gradcam(self.network, preprocess(radiograph).pixels, index)
        (finding,) = findings(
            np.array([explanation.logit], np.float32), [target], [thresholds[index]]
        )
        picture = overlay(radiograph, explanation.normalised())
        return Drawn(png(picture), finding.score, empty=not explanation.cam.any())


def open_explainer(settings: Settings) -> Explainer:
    """Verify the bundle that the settings name and load its traced network.

    Raises:
        SetupFault: The bundle is not to be trusted; the message says why.
    """
    bundle = open_bundle(bundle_folder(settings))
    network = load_network(bundle.path(bundle.manifest.explainer), settings.explain_threads)
    return Explainer(bundle.manifest, network)
