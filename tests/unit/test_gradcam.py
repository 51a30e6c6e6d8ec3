"""Grad-CAM against an independent implementation and against the graph's own maps."""

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from export.evidence import phantoms
from export.graphs import ONNX
from export.network import ExportableNetwork
from export.upstream import eager_network
from export.weights import load_weights
from service.bundle import open_bundle
from service.errors import UnknownTarget
from service.gradcam import gradcam, target_index
from service.runtime.onnx_runtime import open_variant
from service.runtime.torchscript import load_network

PNEUMONIA = 8


def normalised(cam: np.ndarray) -> np.ndarray:
    peak = cam.max()
    return cam / peak if peak > 0 else cam


@pytest.fixture(scope="module")
def pixels():
    return phantoms(range(90_000, 90_003)).pixels[:6]


@pytest.fixture(scope="module")
def traced(demo_bundle):
    bundle = open_bundle(demo_bundle)
    return load_network(bundle.path(bundle.manifest.explainer), None)


class _WithFinalRelu(torch.nn.Module):
    """The eager network with its final ReLU as a module, so that captum can name the layer."""

    def __init__(self, exportable: ExportableNetwork) -> None:
        super().__init__()
        self.features = torch.nn.Sequential(
            *(module for name, module in exportable.named_children() if name != "classes")
        )
        self.relu = torch.nn.ReLU()
        self.classes = exportable.classes
        self.bias = exportable.bias

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.relu(self.features((pixels * 2 - 1) * 1024))
        return self.classes(features).mean(dim=(2, 3)) + self.bias


def test_equals_captum(traced, pixels):
    """Our maps are captum's LayerGradCam on the same layer and target, to 1e-5."""
    eager = _WithFinalRelu(ExportableNetwork(eager_network(load_weights("demo"))))
    layer = LayerGradCam(eager, eager.relu)
    for image in pixels:
        batch = torch.from_numpy(image)[None].requires_grad_(True)
        theirs = layer.attribute(batch, target=PNEUMONIA, relu_attributions=True)
        ours = gradcam(traced, image, PNEUMONIA).normalised()
        np.testing.assert_allclose(
            ours, normalised(theirs.detach().numpy()[0, 0]), atol=1e-5, rtol=0
        )


def test_equals_the_graphs_own_maps(demo_bundle, traced, pixels):
    """The maps that come with every prediction are Grad-CAM, to 1e-4, without a gradient."""
    outputs = open_variant(demo_bundle / ONNX, None).run(pixels)
    for image, cams in zip(pixels, outputs.cams, strict=True):
        ours = gradcam(traced, image, PNEUMONIA).normalised()
        theirs = normalised(np.maximum(cams[PNEUMONIA], 0))
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


def test_says_the_logit_that_it_explains(traced, pixels):
    """An explanation carries the target's own logit as PyTorch computes it."""
    with torch.inference_mode():
        logits, _ = traced(torch.from_numpy(pixels[:1]))
    assert gradcam(traced, pixels[0], PNEUMONIA).logit == pytest.approx(
        float(logits[0, PNEUMONIA]), abs=1e-5
    )


@pytest.mark.parametrize("target", ["Hernia", "", "pneumonia"], ids=["unnamed", "empty", "case"])
def test_a_target_that_the_weights_do_not_name_is_refused(target):
    """An unknown target is answered with those that are known; an empty label is no target."""
    with pytest.raises(UnknownTarget) as caught:
        target_index(target, ["", "Pneumonia", ""])
    assert caught.value.detail == {"known": ["Pneumonia"]}
    assert caught.value.status == 422
