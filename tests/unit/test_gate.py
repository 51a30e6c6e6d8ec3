"""How unusual an image is, and what becomes of it."""

import numpy as np
import pytest
from references import altered, population, small_reference, usual

from service.errors import Unprocessable
from service.network.gate import FAR, NOT_FITTED, Gate, require_chest_radiograph
from service.radiograph.exposure import Reason


@pytest.fixture(scope="module")
def reference():
    return small_reference()


@pytest.fixture(scope="module")
def far(reference):
    """Features between the two thresholds, and features beyond both."""
    record = reference.populations[0].record
    rows = {}
    for shift in np.arange(0.002, 0.1, 0.0005):
        row = usual(1, 3, shift)
        (distance,) = reference.populations[0].distances(row)
        if record.unusual * 1.05 < distance < record.refused * 0.95:
            rows.setdefault("unusual", row[0])
        if distance > record.refused * 1.05:
            rows.setdefault("refused", row[0])
    return rows


def test_images_like_the_reference_are_usual(reference):
    """Of images that were not fitted on, no more are unusual than was asked for, within chance."""
    gate = Gate(reference)
    verdicts = [gate.judge(row).verdict for row in usual(500, 2)]
    assert set(verdicts) <= {"usual", "unusual"}
    assert verdicts.count("unusual") <= 12  # 5 expected; more than 12 once in 500 times


def test_a_usual_image_has_its_distance_and_nothing_to_warn_of(reference):
    """The distance is in units of the median, beside the range of nine tenths of the reference."""
    judgement = Gate(reference).judge(usual(1, 2)[0])
    low, high = judgement.typical
    assert low < 1 < high
    assert low * 0.8 < judgement.distance < high * 1.2
    assert (judgement.verdict, judgement.reasons, judgement.warnings) == ("usual", (), ())


def test_an_unusual_image_is_warned_of_with_its_distance(reference, far):
    """Between the thresholds it is scored, and the first warning says how far it is."""
    judgement = Gate(reference).judge(far["unusual"])
    assert judgement.verdict == "unusual"
    assert judgement.reasons[-1] == FAR
    assert f"{judgement.distance:.1f} times their median" in judgement.warnings[0]
    require_chest_radiograph(judgement)


def test_what_is_far_outside_is_refused_with_its_distance(reference, far):
    """Beyond the second threshold an image is not scored; the error says how far it is."""
    judgement = Gate(reference).judge(far["refused"])
    assert judgement.verdict == "refused"
    with pytest.raises(Unprocessable) as raised:
        require_chest_radiograph(judgement)
    fault = raised.value
    assert (fault.status, fault.code) == (422, "not_a_chest_radiograph")
    assert fault.message.startswith("Not scored: ")
    assert f"{judgement.distance:.1f} times their median" in fault.message
    assert fault.detail["distance"] == pytest.approx(judgement.distance, abs=1e-3)
    assert fault.detail["reasons"] == list(judgement.reasons)


def test_a_gate_may_warn_instead_of_refusing(reference, far):
    """CXR_GATE=warn scores what is far outside, and calls it unusual."""
    judgement = Gate(reference, "warn").judge(far["refused"])
    assert judgement.verdict == "unusual"
    assert "times their median" in judgement.warnings[0]


def test_a_gate_that_is_off_measures_nothing(reference, far):
    """CXR_GATE=off says no word of distance."""
    judgement = Gate(reference, "off").judge(far["refused"])
    assert (judgement.verdict, judgement.distance, judgement.warnings) == ("unknown", None, ())


def test_without_a_reference_the_answer_says_that_nothing_was_checked():
    """Weights that no reference was fitted for have verdict unknown and a warning."""
    judgement = Gate(None).judge(usual(1, 2)[0])
    assert (judgement.verdict, judgement.distance) == ("unknown", None)
    assert judgement.warnings == (NOT_FITTED,)


@pytest.mark.parametrize("gate", ["fitted", "not fitted", "off"])
def test_exposure_makes_an_image_unusual_whatever_its_distance(reference, gate):
    """What was measured before the network counts, with or without a reference."""
    known = {"fitted": Gate(reference), "not fitted": Gate(None), "off": Gate(None, "off")}
    judgement = known[gate].judge(usual(1, 2)[0], [Reason("too_dark", "The image is too dark.")])
    assert (judgement.verdict, judgement.reasons) == ("unusual", ("too_dark",))


@pytest.mark.parametrize("code", ["turned_90", "turned_180", "turned_270", "inverted", "lateral"])
def test_what_was_done_to_an_image_is_named(reference, code):
    """A reason that the classifier is sure of comes first, with a sentence of its own."""
    gate = Gate(reference, "warn")
    named = [gate.judge(row).reasons[:1] for row in altered(usual(20, 4), code)]
    assert named.count((code,)) >= 19


def test_a_lateral_view_is_not_named_of_what_is_refused(reference, far):
    """Laterals are not as far as a leg or a page of text, which may look like one."""
    row = np.square(np.sqrt(altered(usual(1, 4), "lateral")) + 0.1)[0]
    judgement = Gate(reference).judge(row)
    assert judgement.verdict == "refused"
    assert "lateral" not in judgement.reasons


def test_the_nearest_population_judges():
    """An image that is usual in any population is usual."""
    both = Gate(small_reference(population("second", 200, 5, 0.5)))
    assert both.judge(usual(1, 6, 0.5)[0]).verdict == "usual"
    assert both.judge(usual(1, 6)[0]).verdict == "usual"
    assert both.judge(usual(1, 6, 0.25)[0]).verdict == "refused"
