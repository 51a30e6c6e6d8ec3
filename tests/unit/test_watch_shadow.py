"""`cxr watch --shadow`: when two bundles are called different, and when not."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from export.errors import LogRefused
from export.monitoring.commands import DRIFTS, watch
from export.monitoring.paired import compare, decisions
from export.monitoring.records import ShadowReport
from export.monitoring.shadow import FEWEST, compare_shadow
from export.monitoring.table import Pairs, read_log, read_pairs
from service.serving.monitoring_log import MonitoringLog
from service.serving.monitoring_row import columns

ROWS = 1000


def pairs(scores, shadow_scores, name="log"):
    """Images of one finding by the scores of both."""
    return Pairs(
        name,
        ("Pneumonia",),
        {"Pneumonia": scores},
        {"Pneumonia": shadow_scores},
        {"Pneumonia": scores > 0.5},
        {"Pneumonia": shadow_scores > 0.5},
        "0123456789ab",
        "ba9876543210",
        len(scores),
        2 * len(scores),
    )


def drawn(seed=0, rows=ROWS):
    return np.random.default_rng(seed).beta(0.6, 0.9, rows)


def write(folder, scores, shadow_scores, shadow_version="ba9876543210"):
    """Write a log with a shadow, every other row without the shadow's numbers."""
    log = MonitoringLog(folder, ("Pneumonia",), None if shadow_scores is None else ("Pneumonia",))
    named = [column.name for column in columns(("Pneumonia",))]
    for score, shadow in zip(
        scores, scores if shadow_scores is None else shadow_scores, strict=True
    ):
        values = dict.fromkeys(named) | {
            "time": 1_770_000_000,
            "model_version": "0123456789ab",
            "Pneumonia_probability": score,
            "Pneumonia_score": score,
            "Pneumonia_positive": bool(score > 0.5),
        }
        row = tuple(values.values())
        log.add(row)
        if shadow_scores is not None:
            log.add((*row, shadow_version, shadow, shadow, bool(shadow > 0.5)))
    log.close(30)
    return folder


def run(*arguments):
    return CliRunner().invoke(watch, [str(part) for part in arguments])


def test_the_same_scores_are_no_difference(tmp_path):
    """Exit status 0, all p-values are 1, and the page says that nothing is decided otherwise."""
    scores = drawn()
    done = run("--shadow", write(tmp_path / "log", scores, scores), "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "no finding decided otherwise" in done.output
    report = ShadowReport.model_validate_json((tmp_path / "out" / "shadow.json").read_bytes())
    (found,) = report.findings
    assert set(found.p_values.model_dump().values()) == {1.0}
    assert (report.rows, report.of) == (ROWS, 2 * ROWS)
    assert (found.same_decision.count, found.same_decision.of) == (ROWS, ROWS)
    assert (found.kappa.value, found.positive_difference.value) == (1.0, 0.0)
    assert "No finding is decided otherwise" in (tmp_path / "out" / "shadow.html").read_text()


def test_another_bundle_is_named_with_its_figures(tmp_path):
    """Higher scores end with exit status 3; table, page and textfile have the finding."""
    scores = drawn()
    other = np.minimum(scores + 0.1, 1.0)
    textfile = tmp_path / "cxr.prom"
    folder = write(tmp_path / "log", scores, other)
    done = run("--shadow", folder, "--out", tmp_path / "out", "--textfile", textfile)
    assert done.exit_code == DRIFTS, done.output
    record = json.loads((tmp_path / "out" / "shadow.json").read_text())
    (found,) = record["findings"]
    assert found["decisions_differ"]
    assert found["served_alone"] == 0
    assert found["shadow_alone"] == int(((scores <= 0.5) & (other > 0.5)).sum())
    assert found["score_difference"]["value"] == pytest.approx((other - scores).mean(), abs=1e-6)
    page = (tmp_path / "out" / "shadow.html").read_text()
    assert "1 of 1 findings is decided otherwise" in page
    assert 'cxr_watch_shadow_differs{finding="Pneumonia"} 1.0' in textfile.read_text()


def test_as_many_changes_both_ways_are_a_difference():
    """A bundle that changes 60 of 1000 decisions, half of them each way, fails on the amount."""
    scores = np.concatenate([np.full(500, 0.2), np.full(500, 0.8)])
    other = scores.copy()
    other[:30], other[-30:] = 0.8, 0.2
    (found,) = compare(pairs(scores, other), 0.98, 0.01)
    assert found.adjusted.direction == 1.0
    assert found.decisions_differ
    (lenient,) = compare(pairs(scores, other), 0.9, 0.01)
    assert not lenient.decisions_differ


def test_statistics_by_hand():
    """McNemar's exact p is the binomial's of the changes, kappa is scikit-learn's, and the amount
    is tested against what is asked for."""
    scores, other = drawn(), drawn()
    other[:40] = 1 - other[:40]
    both = pairs(scores, other)
    (found,) = compare(both, 0.98, 0.01)
    served, shadow = found.served_alone, found.shadow_alone
    assert served + shadow == int(((scores > 0.5) != (other > 0.5)).sum())
    expected = binomtest(served, served + shadow, 0.5).pvalue
    assert found.p_values.direction == pytest.approx(expected, rel=1e-9)
    amount = binomtest(served + shadow, ROWS, 0.02, alternative="greater").pvalue
    assert found.p_values.amount == pytest.approx(amount, rel=1e-9)
    kappa = cohen_kappa_score(scores > 0.5, other > 0.5)
    assert found.kappa.value == pytest.approx(kappa, abs=1e-12)
    assert found.positive_difference.value == pytest.approx((shadow - served) / ROWS, abs=1e-12)
    assert decisions(both, "Pneumonia").sum() == ROWS


def test_noise_of_another_precision_is_no_other_decision():
    """Scores that differ by a thousandth, all in one direction, differ as scores and not in their
    decisions."""
    scores = np.where(drawn() > 0.5, 0.9, 0.1) + 0.01 * drawn(1)
    (found,) = compare(pairs(scores, scores + 0.001), 0.98, 0.01)
    assert found.scores_differ
    assert not found.decisions_differ
    assert found.score_difference.value == pytest.approx(0.001, abs=1e-9)


def test_false_alarms_are_no_more_frequent_than_stated():
    """Of 300 shadows with scores of the same distribution around the same image, no more than the
    stated tenth is called different."""
    draw, alarms = np.random.default_rng(3), 0
    for _ in range(300):
        true = draw.beta(0.6, 0.9, 400)
        noisy = [np.clip(true + draw.normal(0, 0.002, 400), 0, 1) for _ in range(2)]
        (found,) = compare(pairs(*noisy), 0.9, 0.1)
        alarms += found.decisions_differ or found.scores_differ
    assert alarms <= 0.1 * 300 + 3 * np.sqrt(300 * 0.1 * 0.9)


def test_all_negative_by_one_has_no_kappa():
    """Where one calls every image the same, kappa says nothing; the tests do."""
    scores = np.full(FEWEST, 0.1)
    (found,) = compare(pairs(scores, scores), 0.98, 0.01)
    assert found.kappa.value is None
    assert not found.decisions_differ
    (one_sided,) = compare(pairs(scores, np.where(np.arange(FEWEST) < 3, 0.9, 0.1)), 0.98, 0.01)
    assert one_sided.kappa.value is None
    assert one_sided.shadow_alone == 3


def test_a_log_without_a_shadow_is_refused(tmp_path):
    """It is said that the setting was not set."""
    folder = write(tmp_path / "log", drawn(rows=40), None)
    with pytest.raises(LogRefused, match="CXR_SHADOW was not set"):
        read_pairs([folder])


def test_days_with_and_without_a_shadow_are_read_together(tmp_path):
    """Rows without the shadow's columns count among the log's, whichever file comes first."""
    write(tmp_path / "log" / "a", drawn(rows=40), None)
    write(tmp_path / "log" / "b", drawn(rows=40), drawn(rows=40))
    found = read_pairs([tmp_path / "log"])
    assert (found.rows, found.of) == (40, 120)
    assert read_log([tmp_path / "log"]).findings == ("Pneumonia",)


def test_several_bundles_in_one_log_are_refused(tmp_path):
    """The two that are compared are one pair; the refusal names all."""
    write(tmp_path / "log" / "a", drawn(rows=40), drawn(rows=40))
    write(tmp_path / "log" / "b", drawn(rows=40), drawn(rows=40), "cccccccccccc")
    with pytest.raises(LogRefused, match=r"ba9876543210 beside .*, cccccccccccc beside"):
        read_pairs([tmp_path / "log"])


def test_too_few_images_are_refused():
    """The refusal says how many are needed."""
    few = drawn(rows=FEWEST - 1)
    with pytest.raises(LogRefused, match=f"scored {FEWEST - 1} images; {FEWEST} are needed"):
        compare_shadow(pairs(few, few), 0.98, 0.01)


@pytest.mark.parametrize(
    "arguments", [(), ("--reference", "."), ("--shadow", ".", "--now", ".")], ids=" ".join
)
def test_a_shadow_or_a_reference(arguments):
    """Half a comparison, or both, is wrong usage."""
    done = run(*arguments)
    assert done.exit_code == 2
    assert "give --reference and --now, or --shadow alone" in done.output
