"""`cxr watch`: what it calls a drift, and what it does not."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from drawn_logs import ROWS, log
from scipy.stats import chi2_contingency
from scipy.stats import ks_2samp as kolmogorov_smirnov

from export.errors import LogRefused
from export.monitoring.commands import DRIFTS, watch
from export.monitoring.comparison import adjusted, compare, distance, least, stability
from export.monitoring.estimate import estimate
from export.monitoring.records import Report
from export.monitoring.table import DECISIONS, MISSING, read_log
from export.monitoring.windows import threshold


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return log(tmp_path_factory.mktemp("logs") / "then")


def run(*arguments):
    return CliRunner().invoke(watch, [str(part) for part in arguments])


def test_more_of_the_same_is_no_drift(reference, tmp_path):
    """A window of the same kind ends with exit status 0 and says that nothing drifts."""
    now = log(tmp_path / "now", seed=1, rows=300)
    done = run("--reference", reference, "--now", now, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "nothing drifts" in done.output
    report = Report.model_validate_json((tmp_path / "out" / "watch.json").read_bytes())
    assert not report.drifts
    assert (report.then.rows, report.now.rows) == (ROWS, 300)
    assert "Nothing drifts" in (tmp_path / "out" / "watch.html").read_text()


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"older": 10}, "age_decade"),
        ({"dark": 0.5}, "Pneumonia_probability"),
        ({"manufacturer": ["philips"] * 300}, "manufacturer"),
        ({"manufacturer": [None] * 300}, "manufacturer"),
        ({"age_decade": [None] * 300}, "age_decade is said"),
    ],
    ids=["older", "other scores", "another maker", "no maker", "no ages"],
)
def test_what_has_changed_is_named(change, column, reference, tmp_path):
    """A change ends with exit status 3, and the column that it is in comes first."""
    now = log(tmp_path / "now", seed=1, rows=300, **change)
    textfile = tmp_path / "watch.prom"
    done = run(
        *("--reference", reference, "--now", now, "--out", tmp_path / "out"),
        *("--windows", 100, "--textfile", textfile),
    )
    assert done.exit_code == DRIFTS, done.output
    report = Report.model_validate_json((tmp_path / "out" / "watch.json").read_bytes())
    assert report.columns[0].column == column
    assert report.columns[0].drifts
    assert f'cxr_watch_drifts{{column="{column}"}} 1.0' in textfile.read_text()


def test_false_alarms_are_as_frequent_as_stated(reference):
    """Of 400 windows that the threshold was not made of, the share that is asked for is called
    drifting."""
    then = read_log([reference])
    limit = threshold(then, 100, 0.1, 200)
    draw = np.random.default_rng(9)
    alarms = 0
    for _ in range(400):
        order = draw.permutation(then.rows)
        alarms += least(compare(then.taken(order[100:]), then.taken(order[:100]))) <= limit
    assert 0.05 <= alarms / 400 <= 0.16


def test_statistics_are_scipys(reference, tmp_path):
    """Kolmogorov-Smirnov's and chi-squared's statistics and p-values equal scipy's."""
    then, now = read_log([reference]), read_log([log(tmp_path / "now", seed=4, rows=300, older=5)])
    tests = {one.column: one for one in compare(then, now)}
    name = "Pneumonia_probability"
    expected = kolmogorov_smirnov(then.numbers[name], now.numbers[name], method="asymp")
    assert tests[name].statistic == pytest.approx(expected.statistic, abs=1e-12)
    assert tests[name].p_value == pytest.approx(expected.pvalue, rel=1e-9)
    codes = then.categories["sex"], now.categories["sex"]
    table = [[int((side == place).sum()) for place in (1, 2)] for side in codes]
    chi2, p_value, *_ = chi2_contingency(table, correction=False)
    assert tests["sex"].statistic == pytest.approx(chi2, rel=1e-9)
    assert tests["sex"].p_value == pytest.approx(p_value, rel=1e-9)
    assert least(list(tests.values())) == pytest.approx(
        adjusted(list(tests.values())).min(), rel=1e-12
    )


def test_the_stability_index_by_hand():
    """Half of the images moved from one of two kinds to the other: (n - t) ln(n / t), summed."""
    then, now = np.array([0, 1] * 5000), np.array([0] * 2500 + [1] * 7500)
    assert stability(then, now) == pytest.approx(0.25 * np.log(3), abs=1e-3)
    assert stability(then, then) == 0.0


def test_the_distance_is_in_standard_deviations():
    """A shift by one standard deviation is a distance of 1."""
    values = np.random.default_rng(0).normal(3, 2, 5000)
    assert distance(values, values + values.std()) == pytest.approx(1.0, abs=1e-9)


def test_the_estimate_counts_probabilities():
    """Two positives of 0.9 and 0.7 and two negatives of 0.1 and 0.2: 1.6 found of 1.9."""
    decisions = np.array([DECISIONS.index(each) for each in ("positive", "positive", "negative")])
    decisions = np.append(decisions, [DECISIONS.index("negative"), DECISIONS.index("uncertain")])
    found = estimate(decisions, np.array([0.9, 0.7, 0.1, 0.2, 0.5]))
    assert found.sensitivity == pytest.approx(1.6 / 1.9, abs=1e-12)
    assert found.specificity == pytest.approx(1.7 / 2.1, abs=1e-12)
    assert found.ppv == pytest.approx(0.8, abs=1e-12)
    assert (found.images, found.uncertain) == (5, 0.2)
    assert estimate(np.zeros(3, int), np.full(3, np.nan)) is None


def test_another_model_is_said(reference, tmp_path):
    """Where another bundle answered now, the report says that the model may be what differs."""
    now = log(tmp_path / "now", seed=1, rows=200, version="ba9876543210")
    run("--reference", reference, "--now", now, "--out", tmp_path / "out", "--windows", 100)
    report = json.loads((tmp_path / "out" / "watch.json").read_text())
    assert any("may be the model and not the images" in one for one in report["warnings"])


def test_a_reference_that_is_too_short_is_refused(tmp_path):
    """Windows need a reference of twice their rows, and the number is said."""
    then, now = log(tmp_path / "a", rows=300), log(tmp_path / "b", rows=200)
    done = run("--reference", then, "--now", now, "--out", tmp_path / "out")
    assert isinstance(done.exception, LogRefused)
    assert done.exception.message == (
        "the reference has 300 rows; for a window of 200 rows 400 are needed"
    )


def test_too_few_windows_for_the_rate_are_refused(reference, tmp_path):
    """A rate of one in a thousand does not show in a hundred windows."""
    now = log(tmp_path / "now", rows=200)
    done = run(
        *("--reference", reference, "--now", now, "--out", tmp_path / "out"),
        *("--windows", 100, "--false-alarms", 0.001),
    )
    assert isinstance(done.exception, LogRefused)
    assert "1000 are needed" in done.exception.message


@pytest.mark.parametrize("content", [None, b"no parquet", "other"], ids=["empty", "text", "other"])
def test_what_is_no_log_is_refused(content, reference, tmp_path):
    """A folder without files, a file that is no Parquet, and one with other columns are refused."""
    folder = tmp_path / "now"
    folder.mkdir()
    if content == "other":
        pq.write_table(pa.table({"Pneumonia_positive": [True]}), folder / "a.parquet")
    elif content:
        (folder / "a.parquet").write_bytes(content)
    done = run("--reference", reference, "--now", folder, "--out", tmp_path / "out")
    assert isinstance(done.exception, LogRefused)
    assert re.search(
        r"no file ends in|cannot be read as Parquet|has no column", done.exception.message
    )


def test_what_is_not_said_is_a_kind_of_its_own(reference, tmp_path):
    """A blank is counted under its own name, not left out."""
    now = read_log([log(tmp_path / "now", rows=4, sex=["F", None, "M", None])])
    assert [now.names("sex")[place] for place in now.categories["sex"]] == [
        *("F", MISSING, "M", MISSING)
    ]
