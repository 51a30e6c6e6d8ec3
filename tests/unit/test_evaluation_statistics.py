"""The figures of an evaluation, on tables small enough to count by hand."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, roc_auc_score

from export.evaluation.calibration import calibration, reliability
from export.evaluation.delong import ONE_CLASS, ONE_IMAGE, SEPARATED, area, paired_test
from export.evaluation.discrimination import average_precision, curves
from export.evaluation.operating_point import chosen_points, point, predictive_values, rate
from export.evaluation.subgroups import NOT_GIVEN, partition, subgroups


def _slow_delong(truth, *scores):
    """Areas and their covariance by the definition: every positive against every negative."""
    positive, negative = [], []
    for one in scores:
        kernel = np.array(
            [[1.0 if x > y else 0.5 if x == y else 0.0 for y in one[~truth]] for x in one[truth]]
        )
        positive.append(kernel.mean(axis=1))
        negative.append(kernel.mean(axis=0))
    areas = [part.mean() for part in positive]
    m, n = len(positive[0]), len(negative[0])
    covariance = np.zeros((len(scores), len(scores)))
    for i in range(len(scores)):
        for j in range(len(scores)):
            s10 = ((positive[i] - areas[i]) * (positive[j] - areas[j])).sum() / (m - 1)
            s01 = ((negative[i] - areas[i]) * (negative[j] - areas[j])).sum() / (n - 1)
            covariance[i, j] = s10 / m + s01 / n
    return np.array(areas), covariance


def _drawn(seed, count, decimals):
    """Labels and two related scores; few decimals make ties."""
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.4
    first = np.round(1 / (1 + np.exp(-rng.normal(truth * 1.2, 1))), decimals)
    second = np.round(np.clip(first + rng.normal(0, 0.1, count), 0, 1), decimals)
    return truth, first, second


def test_the_area_counts_ties_by_half():
    """Of 2 x 3 pairs, 4 in order and one tied make (4 + 0.5) / 6."""
    truth = np.array([1, 1, 0, 0, 0], bool)
    scores = np.array([0.9, 0.4, 0.4, 0.1, 0.6])
    assert area(truth, scores).value == 4.5 / 6


@pytest.mark.parametrize("decimals", [1, 2, 15], ids=["many ties", "some ties", "no ties"])
@pytest.mark.parametrize("count", [12, 150])
def test_delong_equals_its_definition(count, decimals):
    """Area, interval, paired difference and p equal every positive against every negative."""
    truth, first, second = _drawn(count, count, decimals)
    areas, covariance = _slow_delong(truth, first, second)
    found = area(truth, first)
    error = math.sqrt(covariance[0, 0])
    assert found.value == pytest.approx(roc_auc_score(truth, first), abs=1e-12)
    assert found.standard_error == pytest.approx(error, abs=1e-12)
    assert found.low == pytest.approx(areas[0] - 1.959963984540054 * error, abs=1e-12)
    assert found.high == pytest.approx(min(areas[0] + 1.959963984540054 * error, 1), abs=1e-12)
    test = paired_test(truth, first, second)
    spread = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    difference = areas[1] - areas[0]
    assert test.difference.value == pytest.approx(difference, abs=1e-12)
    assert test.difference.low == pytest.approx(difference - 1.959963984540054 * spread, abs=1e-12)
    assert test.p_value == pytest.approx(2 * norm.sf(abs(difference) / spread), abs=1e-12)


def test_equal_rankings_differ_by_nothing():
    """Scores that rank all images alike have a difference of 0 and p = 1, whatever their values."""
    truth, first, _ = _drawn(3, 40, 2)
    test = paired_test(truth, first, first**3)
    assert (test.difference.value, test.p_value) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("truth", "scores", "value", "note"),
    [
        ([1, 1, 1], [0.1, 0.2, 0.3], None, ONE_CLASS),
        ([], [], None, ONE_CLASS),
        ([1, 0, 0], [0.5, 0.1, 0.9], 0.5, ONE_IMAGE),
        ([1, 1, 0, 0], [0.8, 0.9, 0.1, 0.2], 1.0, SEPARATED),
    ],
    ids=["one class", "nothing", "one positive", "separated"],
)
def test_an_undefined_interval_says_why(truth, scores, value, note):
    """Where DeLong's interval is undefined there is none, with the reason, and no crash."""
    found = area(np.array(truth, bool), np.array(scores, float))
    assert (found.value, found.low, found.high, found.note) == (value, None, None, note)


def test_wilson_equals_a_published_example():
    """81 of 263: 0.2553 to 0.3662 (Newcombe 1998, Statistics in Medicine 17, table I)."""
    found = rate(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    assert found.value == 81 / 263


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
        (15, 148, 0.0624, 0.1605),
    ],
    ids=["none", "one", "all", "newcombe"],
)
def test_wilson_at_the_edges(count, of, low, high):
    """Shares of 0 and 1 keep an interval that ends there exactly (Newcombe 1998, table I)."""
    found = rate(count, of)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_a_share_of_nothing_is_undefined():
    """0 of 0 has no value and no interval."""
    found = rate(0, 0)
    assert (found.value, found.low, found.high) == (None, None, None)


def test_a_point_counts_decisions():
    """Counts, sensitivity, specificity, PPV and NPV of a cut are those of the four cells."""
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
    decided = np.array([1, 1, 0, 1, 0, 0, 0, 0], bool)
    found = point("operating point", truth, decided, 0.3, None)
    cells = (found.true_positive, found.false_positive, found.false_negative, found.true_negative)
    assert cells == (2, 1, 1, 4)
    assert (found.sensitivity.value, found.specificity.value) == (2 / 3, 4 / 5)
    assert (found.ppv.value, found.npv.value) == (2 / 3, 4 / 5)
    assert found.at_prevalence is None


def test_predictive_values_follow_bayes():
    """Se 0.9, Sp 0.8 at 1 %: PPV 0.009 / 0.207, NPV 0.792 / 0.793, with the interval of
    Mercaldo, Lau and Zhou."""
    found = predictive_values(rate(90, 100), rate(160, 200), 0.01)
    assert found.ppv.value == pytest.approx(0.009 / 0.207, abs=1e-15)
    assert found.npv.value == pytest.approx(0.792 / 0.793, abs=1e-15)
    spread = 1.959963984540054 * math.sqrt(0.1 / 90 + 0.8 / (200 * 0.2))
    centre = math.log(0.009 / 0.198)
    assert found.ppv.low == pytest.approx(1 / (1 + math.exp(spread - centre)), abs=1e-12)
    assert found.ppv.high == pytest.approx(1 / (1 + math.exp(-spread - centre)), abs=1e-12)


def test_predictive_values_at_the_sample_prevalence_are_the_observed_ones():
    """At the prevalence of the images Bayes' rule gives what was counted."""
    truth, first, _ = _drawn(8, 60, 2)
    found = point("operating point", truth, first > 0.5, 0.5, float(truth.mean()))
    assert found.at_prevalence.ppv.value == pytest.approx(found.ppv.value, abs=1e-12)
    assert found.at_prevalence.npv.value == pytest.approx(found.npv.value, abs=1e-12)


def test_a_perfect_rate_leaves_the_interval_open():
    """With no false positive PPV is 1 at any prevalence, and has no interval on the logit scale."""
    found = predictive_values(rate(9, 10), rate(20, 20), 0.1)
    assert (found.ppv.value, found.ppv.low) == (1.0, None)


def test_cuts_lie_between_probabilities():
    """Youden's and the fixed cuts decide as asked, and alike whether a tie counts or not."""
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool)
    probabilities = np.array([0.9, 0.8, 0.7, 0.2, 0.6, 0.3, 0.1, 0.05])
    youden, sensitive, specific = chosen_points(truth, probabilities, 1.0, 1.0, None)
    assert youden.probability == pytest.approx(0.65)
    assert (youden.sensitivity.value, youden.specificity.value) == (0.75, 1.0)
    assert sensitive.probability == pytest.approx(0.15)
    assert (sensitive.sensitivity.value, sensitive.specificity.value) == (1.0, 0.5)
    assert specific.probability == pytest.approx(0.65)
    assert specific.sensitivity.value == 0.75
    _, three_quarters, half = chosen_points(truth, probabilities, 0.75, 0.5, None)
    assert three_quarters.probability == pytest.approx(0.65)
    assert half.probability == pytest.approx(0.15)


def test_a_specificity_that_only_silence_reaches():
    """Where every positive lies under a negative, full specificity calls nothing positive."""
    truth = np.array([1, 0], bool)
    _, _, specific = chosen_points(truth, np.array([0.1, 0.8]), 1.0, 1.0, None)
    assert (specific.true_positive, specific.false_positive) == (0, 0)
    assert specific.probability == pytest.approx(0.9)


def test_calibration_by_hand():
    """ECE, Brier and the bins of five images, counted."""
    truth = np.array([0, 0, 1, 1, 0], bool)
    probabilities = np.array([0.05, 0.05, 0.05, 0.95, 0.75])
    found = calibration(truth, probabilities)
    assert [bin_.count for bin_ in found.bins] == [3, 1, 1]
    assert [bin_.observed.count for bin_ in found.bins] == [1, 0, 1]
    gaps = 3 * abs(1 / 3 - 0.05) + 0.75 + 0.05
    assert found.expected_error == pytest.approx(gaps / 5, abs=1e-15)
    squares = 2 * 0.05**2 + 0.95**2 + 0.05**2 + 0.75**2
    assert found.brier == pytest.approx(squares / 5, abs=1e-15)
    assert found.brier_of_prevalence == pytest.approx(0.24, abs=1e-15)


def test_the_reliability_curve_is_scikit_learns():
    """Bins and means are those of calibration_curve, edges included."""
    truth, first, _ = _drawn(5, 200, 1)
    first[:3] = (0.0, 1.0, 0.1)
    found = reliability(truth, first)
    observed, mean = calibration_curve(truth, first, n_bins=10)
    assert [bin_.observed.value for bin_ in found] == pytest.approx(list(observed), abs=1e-12)
    assert [bin_.mean_probability for bin_ in found] == pytest.approx(list(mean), abs=1e-12)
    assert sum(bin_.count for bin_ in found) == 200
    assert calibration(truth, first).brier == pytest.approx(brier_score_loss(truth, first))


def test_slope_and_intercept_undo_a_known_distortion():
    """Logits that are doubled and shifted have half the slope; right ones have 1 and 0."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, 40_000)
    truth = rng.random(40_000) < 1 / (1 + np.exp(-logits))
    right = calibration(truth, 1 / (1 + np.exp(-logits)))
    assert right.slope == pytest.approx(1, abs=0.03)
    assert right.intercept == pytest.approx(0, abs=0.03)
    doubled = calibration(truth, 1 / (1 + np.exp(-2 * logits)))
    assert doubled.slope == pytest.approx(right.slope / 2, abs=1e-6)
    assert calibration(truth, 1 / (1 + np.exp(-logits - 1))).intercept == pytest.approx(
        right.intercept - 1, abs=1e-6
    )


def test_separated_classes_have_no_slope():
    """Where no line fits, slope and intercept are null and the note says why."""
    found = calibration(np.array([1, 1, 0], bool), np.array([0.9, 0.8, 0.1]))
    assert (found.slope, found.intercept) == (None, None)
    assert "separated" in found.note


def test_curves_run_from_corner_to_corner_however_many_images():
    """A thinned ROC curve keeps its ends and 400 points at the most."""
    truth, first, _ = _drawn(2, 4000, 15)
    found = curves(truth, first)
    assert (found.roc[0], found.roc[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert len(found.precision_recall) <= 400
    assert sum(found.positive_probabilities) == truth.sum()


def test_average_precision_is_a_sum_of_steps():
    """Ranks 1 and 3 of 4 are positive: (1/1 + 2/3) / 2."""
    truth = np.array([1, 0, 1, 0], bool)
    found = average_precision(truth, np.array([0.9, 0.8, 0.7, 0.1]))
    assert found == pytest.approx((1 + 2 / 3) / 2, abs=1e-15)


def test_subgroups_count_their_own_images():
    """Each value has its counts and rates; one of a single class has no area but says why."""
    truth = np.array([1, 0, 1, 0, 1], bool)
    probabilities = np.array([0.9, 0.1, 0.2, 0.3, 0.8])
    parts = ["F", "F", "M", "M", NOT_GIVEN]
    women, men, unknown = subgroups("sex", parts, truth, probabilities, probabilities > 0.5)
    assert (women.value, women.images, women.positives, women.auc.value) == ("F", 2, 1, 1.0)
    assert (men.auc.value, men.sensitivity.value, men.specificity.value) == (0.0, 0.0, 1.0)
    assert (unknown.value, unknown.auc.note) == (NOT_GIVEN, ONE_CLASS)
    assert unknown.specificity.value is None


def test_numbers_are_cut_at_their_quartiles():
    """A column of many numbers makes four parts, and what is not given one more."""
    names, reason = partition("age", [*(str(age) for age in range(1, 41)), ""])
    assert reason is None
    assert names[0] == "1 to 10.75"
    assert names[39] == "over 30.25 to 40"
    assert names[40] == NOT_GIVEN
    assert [names.count(name) for name in sorted(set(names))] == [1, 10, 10, 10, 10]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([f"patient {n}" for n in range(30)], "30 different values"),
        (["A", "A"], "one value throughout"),
        (["", ""], "one value throughout"),
        ([*(str(n) for n in range(30)), "inf"], "not all of its numbers are finite"),
    ],
    ids=["names", "one value", "blank", "infinite"],
)
def test_a_column_that_makes_no_subgroups_says_why(values, reason):
    """Identifiers, constants and what cannot be ordered are left out by name."""
    names, why = partition("column", values)
    assert names is None
    assert reason in why
