"""Small shares of the measurements that decide which maps are offered."""

import numpy as np
import pytest

from bench.geometry import LAYOUTS, LIMIT, PLACES, miss, scene
from bench.localisation import blurred_random, localisation
from bench.sanity import sanity
from export.demo.phantom import make_phantom
from service.explain.cam.class_map import class_activation_map
from service.network.bundle import open_bundle
from service.network.runtime import load_runtime

PNEUMONIA = 8


@pytest.fixture(scope="module")
def runtime(demo_bundle):
    return load_runtime(demo_bundle, open_bundle(demo_bundle).manifest.variant("onnxruntime"))


@pytest.fixture(scope="module")
def found_phantoms():
    return [make_phantom(seed, opacity=True) for seed in range(16)]


def test_maps_depend_on_what_the_network_learned(demo_bundle, found_phantoms):
    """Grad-CAM and HiResCAM change when the last block and the classifier are drawn anew."""
    bundle = open_bundle(demo_bundle)
    graph = bundle.path(bundle.manifest.explainer)
    pixels = np.stack([phantom.pixels for phantom in found_phantoms])[:, None]
    found = sanity(graph, pixels, PNEUMONIA, "norm5", images=14, images_a_draw=2)
    measured = {each.method: each for each in found}
    for method in ("gradcam", "hirescam"):
        assert len(measured[method].correlations) == 14
        assert measured[method].median < 0.5


def test_maps_find_opacities_that_chance_does_not(runtime, found_phantoms):
    """On held-out phantoms the peak lies in or near the opacity and the box overlaps it."""
    outputs = runtime.run(np.stack([phantom.pixels for phantom in found_phantoms])[:, None])
    maps = [
        class_activation_map(cams, logits, PNEUMONIA).values
        for cams, logits in zip(outputs.cams, outputs.logits, strict=True)
    ]
    ours = localisation(maps, found_phantoms)
    chance = localisation([blurred_random(seed) for seed in range(16)], found_phantoms)
    assert ours.inside >= 0.7
    assert ours.near >= 0.9
    assert ours.iou >= 0.35
    assert chance.near <= 0.4
    assert chance.iou <= 0.15


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [300, 1100])
def test_the_peak_lies_where_the_opacity_is(runtime, layout, size):
    """Whatever the file's shape and size, the peak is within one cell of what was drawn."""
    drawn = scene(layout, size, PLACES[0], seed=0)
    assert miss(drawn, runtime, PNEUMONIA) <= LIMIT


@pytest.mark.parametrize("orientation", range(2, 9))
def test_the_peak_lies_where_the_opacity_is_in_turned_files(runtime, orientation):
    """An orientation tag turns the map with the image."""
    drawn = scene("portrait, cropped", 300, PLACES[1], 1, orientation)
    assert miss(drawn, runtime, PNEUMONIA) <= LIMIT
