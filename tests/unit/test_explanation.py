"""An explanation as data: a map that may be trusted, or the reason for none."""

import json

import numpy as np
import pytest
from explained import IMAGE, MODEL, REQUEST, USUAL, explained, hot_map

from service.errors import InferenceFailed
from service.explain.answer import ExplanationAnswer, explanation_answer
from service.explain.cam.request import MapRequest, map_request
from service.explain.explainer import open_explainer
from service.explain.faithfulness import RANDOM_TENTHS, Faithfulness, faithfulness, hottest_tenth
from service.explain.hotspot import at_input
from service.network.answer import DEMO_WARNING
from service.network.predictor import prepare
from service.radiograph.preprocess import Geometry
from service.settings import read_settings


def answer(found):
    return explanation_answer(found, IMAGE, MODEL, USUAL)


def test_a_map_is_answered_with_its_place():
    """Score, map, peak, box and words agree with each other and survive JSON."""
    found = explanation_answer(
        explained(patient_orientation=("L", "F")), IMAGE, MODEL, USUAL, ("Of the image.",)
    )
    again = ExplanationAnswer.model_validate_json(found.model_dump_json())
    assert again == found
    assert found.map.cells == 7
    assert max(max(row) for row in found.map.values) == 1
    assert (found.map.left, found.map.top, found.map.side) == (0, 57, 1841)
    assert found.peak.words == "image left, middle third (the patient's right)"
    assert found.box.left < found.peak.column < found.box.left + found.box.width
    assert found.box.top < found.peak.row < found.box.top + found.box.height
    assert (found.unseen.top, found.unseen.bottom) == (57, 57)
    assert found.score.agrees
    assert found.score.difference == 0
    assert found.reason is None
    assert found.warnings == [DEMO_WARNING, "Of the image."]


def test_scores_that_disagree_carry_no_map():
    """Where the explainer scores otherwise than the service, the answer says so and has no map."""
    found = answer(explained(logit=0.5, served_logit=-0.5))
    assert not found.score.agrees
    assert found.score.difference == pytest.approx(0.2142, abs=1e-3)
    assert (found.map, found.peak, found.box, found.faithfulness) == (None, None, None, None)
    assert found.reason == (
        "The explainer scores Pneumonia 0.685 where the service scores 0.472, more than 0.05 "
        "apart: a map of the one does not explain the other."
    )


def test_scores_that_hardly_differ_keep_their_map():
    """A difference within the tolerance is told and the map given; the served score leads."""
    found = answer(explained(logit=0.5, served_logit=0.55))
    assert found.score.agrees
    assert 0 < found.score.difference < found.score.tolerance
    assert found.score.score > found.score.explainer_score
    assert found.map is not None


def test_a_map_that_is_zero_everywhere_is_no_map():
    """Nothing that speaks for the target: no map, no place, and the reason."""
    found = answer(explained(np.zeros((7, 7), np.float32)))
    assert (found.map, found.peak, found.box) == (None, None, None)
    assert found.reason == "Nothing in the image speaks for Pneumonia: the map is zero everywhere."


def test_a_logit_that_is_not_finite_is_a_fault():
    """No explanation of a score that is not a number."""
    with pytest.raises(InferenceFailed):
        explained(logit=float("nan"))


def test_a_negative_finding_says_so_beside_its_map():
    """A map for a score below the operating point is marked as what it is."""
    found = answer(explained(logit=-2.0, geometry=Geometry(224, 224)))
    assert not found.score.positive
    assert found.warnings[1:] == [
        "Pneumonia scores below its operating point; the map shows what speaks for it all the same."
    ]


def test_a_fine_layer_is_marked():
    """A map from a layer whose peaks find little says so."""
    request = MapRequest("Pneumonia", 0, "gradcam", "denseblock1")
    found = answer(explained(hot_map(size=56), request=request, geometry=Geometry(224, 224)))
    assert found.warnings[1:] == [
        "denseblock1 shows fine texture; its peaks say little of where a finding is."
    ]


def test_the_hottest_tenth_is_a_tenth():
    """5018 of 50176 pixels are chosen, none of them cooler than one that is not."""
    chosen = hottest_tenth(hot_map())
    heat = at_input(hot_map())
    assert chosen.sum() == 5018
    assert heat[chosen].min() >= heat[~chosen].max()


def test_blurring_what_the_score_hangs_on_lowers_it():
    """A score that reads a pattern at the peak falls when the peak is blurred, and hardly when
    random tenths are."""
    stripes = np.zeros((1, 224, 224), np.float32)
    stripes[:, :, ::2] = 1
    asked = []

    def score(pixels):
        asked.append(len(pixels))
        return np.abs(np.diff(pixels[:, 0, 128:160, 64:96], axis=2)).mean(axis=(1, 2))

    found = faithfulness(stripes, hot_map(), score)
    assert asked == [2 + RANDOM_TENTHS]
    assert found.hottest == pytest.approx(1, abs=0.05)
    assert found.random_mean < 0.35
    assert found.better_than == 1


def test_faithfulness_is_told():
    """The answer carries the fall of the hottest tenth beside those of random tenths."""
    measured = Faithfulness(0.3, (0.1, 0.0, -0.1, 0.4))
    found = answer(explained(faithfulness=measured)).faithfulness
    assert found.hottest_tenth == 0.3
    assert found.random_tenths == [0.1, 0.0, -0.1, 0.4]
    assert found.random_mean == pytest.approx(0.1)
    assert found.better_than == 0.75


def test_the_explainer_explains_what_it_is_shown(demo_bundle, phantom_png):
    """From a file to an explanation: the opacity's score falls when the map's tenth is blurred,
    and the raw map is the one that the request named."""
    explainer = open_explainer(read_settings(bundle=str(demo_bundle)))
    prepared = prepare(phantom_png(1), explainer.reader)
    request = map_request(explainer.manifest.labels, "Pneumonia", "hirescam", "denseblock4")
    found, judgement = explainer.explanation(prepared.input, request, measure_faithfulness=True)
    assert judgement.verdict == "usual"
    assert found.request is request
    assert found.values.shape == (7, 7)
    assert found.served.positive
    assert found.faithfulness.hottest > found.faithfulness.random_mean
    dumped = json.loads(
        explanation_answer(found, prepared.image, MODEL, judgement).model_dump_json()
    )
    assert dumped["method"] == "hirescam"
    assert dumped["layer"] == "denseblock4"


def test_a_batch_has_one_method_and_layer(demo_bundle, phantom_png):
    """Requests of several methods are not mixed into one batch."""
    explainer = open_explainer(read_settings(bundle=str(demo_bundle)))
    image = prepare(phantom_png(1), explainer.reader).input
    other = MapRequest("Pneumonia", 8, "hirescam", "norm5")
    with pytest.raises(ValueError, match="one method and one layer"):
        explainer.maps([image, image], [REQUEST, other])


def test_cam_is_gradcam_at_the_last_layer(demo_bundle, phantom_png):
    """The explainer's own class activation map is its Grad-CAM, to 1e-4 of the peak."""
    explainer = open_explainer(read_settings(bundle=str(demo_bundle)))
    image = prepare(phantom_png(1), explainer.reader).input
    cheap, costly = (
        explainer.explanation(image, map_request(explainer.manifest.labels, "Pneumonia", method))[0]
        for method in ("cam", "gradcam")
    )
    np.testing.assert_allclose(cheap.values, costly.values, atol=1e-4, rtol=0)
    assert cheap.place == costly.place
