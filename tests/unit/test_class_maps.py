"""Class maps against independent implementations, alone, in batches and from several threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from bench.cam_peers import compare
from export.bundle.check_images import phantoms
from service.errors import UnknownTarget, Unprocessable
from service.explain.cam.class_map import ClassMap
from service.explain.cam.gradients import class_maps
from service.explain.cam.request import METHODS, OFFERED, map_request
from service.network.bundle import open_bundle
from service.network.runtime.torchscript import load_network

PNEUMONIA = 8
LABELS = ["", "Pneumonia", ""]


@pytest.fixture(scope="module")
def pixels():
    return phantoms(range(90_000, 90_003)).pixels[:6]


@pytest.fixture(scope="module")
def traced(demo_bundle):
    bundle = open_bundle(demo_bundle)
    return load_network(bundle.path(bundle.manifest.explainer), None)


@pytest.fixture(scope="module")
def differences(demo_bundle, pixels):
    return compare(demo_bundle, pixels[:2])


@pytest.mark.parametrize(
    ("method", "layer"),
    [(method, layer) for method in METHODS for layer in OFFERED[method]],
    ids=lambda word: word,
)
def test_every_offered_map_equals_its_peers(differences, method, layer):
    """A map equals the peers' on the library's own network to 1e-4 of its peak."""
    found = {key[0]: value for key, value in differences.items() if key[1:] == (method, layer)}
    assert found
    assert max(found.values()) <= 1e-4


def test_a_map_says_the_logit_that_it_explains(traced, pixels):
    """A map carries its target's own logit as the network computes it."""
    with torch.inference_mode():
        logits, _, _ = traced(torch.from_numpy(pixels[:1]))
    (found,) = class_maps(traced, pixels[:1], [3], "hirescam", "denseblock3")
    assert found.logit == pytest.approx(float(logits[0, 3]), abs=1e-5)


@pytest.mark.parametrize("layer", ["denseblock4", "norm5"])
def test_images_of_a_batch_do_not_see_each_other(traced, pixels, layer):
    """Six images with six targets in one call give the maps that they give alone."""
    targets = [PNEUMONIA, 0, 3, PNEUMONIA, 17, 5]
    together = class_maps(traced, pixels, targets, "gradcam", layer)
    for i, target in enumerate(targets):
        (alone,) = class_maps(traced, pixels[i : i + 1], [target], "gradcam", layer)
        np.testing.assert_allclose(together[i].normalised(), alone.normalised(), atol=1e-4, rtol=0)


def test_concurrent_calls_do_not_see_each_other(traced, pixels):
    """Four threads with their own targets and layers each get the map that they get alone."""
    wanted = [
        (0, PNEUMONIA, "norm5"),
        (1, 2, "denseblock4"),
        (2, 5, "denseblock3"),
        (3, 9, "norm5"),
    ]

    def one(order):
        image, target, layer = order
        return class_maps(traced, pixels[image : image + 1], [target], "gradcam", layer)[0].values

    alone = [one(order) for order in wanted]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(one, wanted * 3))
    for i, values in enumerate(at_once):
        np.testing.assert_allclose(values, alone[i % 4], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("values", "empty"),
    [([[0, 0]], True), ([[0, float("nan")]], True), ([[0, 2e-9]], False)],
    ids=["zero", "not a number", "small"],
)
def test_an_empty_map_is_known_as_one(values, empty):
    """A map that is zero everywhere or not a number is empty, and normalised to zeros."""
    found = ClassMap("cam", "norm5", np.array(values, np.float32), 0.0)
    assert found.empty is empty
    assert found.normalised().max() == (0 if empty else 1)


@pytest.mark.parametrize("target", ["Hernia", "", "pneumonia"], ids=["unnamed", "empty", "case"])
def test_a_target_that_the_weights_do_not_name_is_refused(target):
    """An unknown target is answered with those that are known; an empty label is no target."""
    with pytest.raises(UnknownTarget) as caught:
        map_request(LABELS, target)
    assert caught.value.detail == {"known": ["Pneumonia"]}
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("method", "layer", "code", "known"),
    [
        ("saliency", None, "unknown_method", list(METHODS)),
        ("gradcam", "stem", "unknown_layer", ["denseblock1", "denseblock2"]),
        ("cam", "denseblock4", "not_offered", ["norm5"]),
        ("layercam", "norm5", "not_offered", ["denseblock1", "denseblock2"]),
    ],
)
def test_a_map_that_is_not_offered_is_refused(method, layer, code, known):
    """An unknown method or layer, or a pair that is not offered, is answered with what there is."""
    with pytest.raises(Unprocessable) as caught:
        map_request(LABELS, "Pneumonia", method, layer)
    assert caught.value.code == code
    assert caught.value.detail["known"][: len(known)] == known
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (None, ("gradcam", "norm5")),
        ("cam", ("cam", "norm5")),
        ("layercam", ("layercam", "denseblock2")),
    ],
    ids=["nothing said", "cam", "layercam"],
)
def test_what_is_left_out_has_a_default(method, expected):
    """Grad-CAM at the last layer unless said otherwise; a method never defaults to a layer that
    it is not offered at."""
    found = map_request(LABELS, "Pneumonia", method)
    assert (found.method, found.layer) == expected
    assert found.output == 1
