"""Our heat maps beside captum's and pytorch-grad-cam's, on TorchXRayVision's own network.

    python -m bench.cam_peers [BUNDLE] [IMAGES]

The peers see the library's eager modules, not the traced graph that we differentiate. Prints
the largest difference between maps divided by their peaks, over all images, for each method and
layer. pytorch-grad-cam's maps are taken before its own scaling, which adds 1e-7 to the peak.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from export.checkpoints.eager import (
    eager_network,  # first: it mends torchvision, which the peers import
)

# isort: split
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from export.checkpoints.weights import load_weights
from export.demo.phantom import make_phantom
from service.explain.cam.class_map import LAST_LAYER, LAYERS, class_activation_map
from service.explain.cam.gradients import differentiate
from service.network.bundle import open_bundle
from service.network.runtime import load_runtime
from service.network.runtime.torchscript import load_network

PEERS = {
    "gradcam": GradCAM,
    "gradcam++": GradCAMPlusPlus,
    "hirescam": HiResCAM,
    "layercam": LayerCAM,
}
BATCH = 5


class Library(nn.Module):
    """The library's layers with the last ReLU as a module, so that peers can hook it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.features = network.features
        self.relu = nn.ReLU()
        self.classifier = network.classifier

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.relu(self.features((pixels * 2 - 1) * 1024))
        return self.classifier(features.mean(dim=(2, 3)))

    def layer(self, name: str) -> nn.Module:
        return self.relu if name == LAST_LAYER else getattr(self.features, name)


def pytorch_grad_cam_maps(
    library: Library, pixels: np.ndarray, output: int
) -> dict[tuple[str, str], np.ndarray]:
    """Maps (N, n, n) by method and layer, from one pass that all of its methods share."""
    layers = [library.layer(name) for name in LAYERS]
    with GradCAM(library, layers) as runner:
        batch = torch.from_numpy(pixels).requires_grad_(True)
        targets = [ClassifierOutputTarget(output)] * len(pixels)
        runner(batch, targets)
        seen = [a.numpy() for a in runner.activations_and_grads.activations]
        slopes = [g.numpy() for g in runner.activations_and_grads.gradients]
        maps = {}
        for method, kind in PEERS.items():
            peer = kind(library, [])
            for name, layer, a, g in zip(LAYERS, layers, seen, slopes, strict=True):
                image = peer.get_cam_image(batch, layer, targets, a, g, False)
                maps[method, name] = np.maximum(image, 0)
    return maps


def captum_maps(library: Library, pixels: np.ndarray, output: int, layer: str) -> np.ndarray:
    """Grad-CAM maps (N, n, n) by captum."""
    peer = LayerGradCam(library, library.layer(layer))
    batch = torch.from_numpy(pixels).requires_grad_(True)
    found = peer.attribute(batch, target=output, relu_attributions=True)
    return np.asarray(found.detach().numpy()[:, 0])


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference of two maps, each divided by its own peak."""
    scaled = [m / m.max() if m.any() else m for m in (ours, theirs)]
    return float(np.max(np.abs(scaled[0] - scaled[1])))


def compare(bundle_folder: Path, pixels: np.ndarray) -> dict[tuple[str, str, str], float]:
    """Largest differences over the images, by peer, method and layer.

    In float64: in float32 the sign of an activation near 0 depends on the order of additions, and
    with it the gradient of a whole cell.
    """
    bundle = open_bundle(bundle_folder)
    output = bundle.manifest.labels.index("Pneumonia")
    ours = load_network(bundle.path(bundle.manifest.explainer), None).double()
    runtime = load_runtime(bundle.folder, bundle.manifest.variant("onnxruntime", "float32"))
    library = Library(eager_network(load_weights(bundle.manifest.weights.name))).eval().double()
    worst: dict[tuple[str, str, str], float] = {}

    def note(peer: str, method: str, layer: str, mine: np.ndarray, theirs: np.ndarray) -> None:
        key = (peer, method, layer)
        worst[key] = max(worst.get(key, 0.0), difference(mine, theirs))

    for start in range(0, len(pixels), BATCH):
        outputs = runtime.run(pixels[start : start + BATCH])
        part = pixels[start : start + BATCH].astype(np.float64)
        theirs = pytorch_grad_cam_maps(library, part, output)
        for layer in LAYERS:
            found = differentiate(ours, part, [output] * len(part), layer)
            captums = captum_maps(library, part, output, layer)
            for method in PEERS:
                for i, mine in enumerate(found.maps(method, layer)):
                    note("pytorch-grad-cam", method, layer, mine.values, theirs[method, layer][i])
                    if method == "gradcam":
                        note("captum", method, layer, mine.values, captums[i])
            if layer == LAST_LAYER:
                for i, mine in enumerate(found.maps("gradcam", layer)):
                    cheap = class_activation_map(outputs.cams[i], outputs.logits[i], output)
                    note("our gradcam", "cam", layer, cheap.values, mine.values)
    return worst


def main(arguments: Sequence[str]) -> None:
    images = int(arguments[1]) if len(arguments) > 1 else 50
    pixels = np.stack([make_phantom(seed, bool(seed % 2)).pixels for seed in range(images)])
    worst = compare(Path(arguments[0] if arguments else "models/demo"), pixels[:, None])
    print(f"largest difference of normalised maps over {images} images")
    for (peer, method, layer), value in worst.items():
        print(f"{method:10} {layer:12} vs {peer:17} {value:.1e}")


if __name__ == "__main__":
    main(sys.argv[1:])
