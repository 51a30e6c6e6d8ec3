"""`cxr calibrate`: from a site's labelled radiographs to a site file."""

import csv
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import beta

from export.errors import FitRefused
from export.site import calibrator, cut
from export.site.clusters import clustered_rate
from export.site.commands import calibrate
from export.site.patients import EACH_ITS_OWN
from export.site.power import patients_for_error, patients_needed
from export.site.records import Report
from export.site.sides import Side
from export.site.tails import lower_tail, upper_tail
from service.network.bundle import read_manifest
from service.network.site import Aim, open_site

IMAGES = 24
"""Phantoms of each class on each side."""


@pytest.fixture(scope="module")
def table(tmp_path_factory, phantom_png):
    """Two tables of phantoms, two images a patient: those to fit on and those to judge on."""
    root = tmp_path_factory.mktemp("site")
    for name, first in (("fit", 2_000_000), ("judge", 2_001_000)):
        rows = ["path,Pneumonia,patient,sex"]
        for place in range(2 * IMAGES):
            shows, seed = place % 2, first + place
            path = root / f"{seed}.png"
            path.write_bytes(phantom_png(seed, opacity=bool(shows)))
            rows.append(f"{seed}.png,{shows},{name}{place // 2},{'FM'[place // 2 % 2]}")
        (root / f"{name}.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def run(monkeypatch, demo_bundle, tmp_path):
    """Run cxr calibrate in an empty folder."""
    monkeypatch.setenv("CXR_BUNDLE", str(demo_bundle))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(calibrate, [str(part) for part in arguments])


def refused(run, *arguments) -> str:
    """The message of a calibration that is refused."""
    done = run(*arguments)
    assert isinstance(done.exception, FitRefused), done.output
    return done.exception.message


def test_a_site_is_fitted_and_judged_on_other_patients(run, table, tmp_path, demo_bundle):
    """The site file fits the bundle, its figures are those of the report, and count the judged."""
    done = run(
        *(table / "fit.csv", "--judge", table / "judge.csv", "--patient", "patient"),
        *("--sensitivity", 0.9, "--half-width", 0.2, "--error", 0.1, "--by", "A. Physicist"),
    )
    assert done.exit_code == 0, done.output
    site = open_site(tmp_path / "site.json", read_manifest(demo_bundle)).file
    report = Report.model_validate_json((tmp_path / "site.report.json").read_bytes())
    (one,) = report.findings
    assert one.site == site.findings["Pneumonia"]
    assert report.site_sha256 == site.sha256
    assert (site.by, site.data.patient_column) == ("A. Physicist", "patient")
    assert (one.site.images, one.site.patients, one.site.positives) == (48, 24, 24)
    assert (one.images, one.patients, one.positives) == (48, 24, 24)
    found = one.after.point
    assert found.true_positive + found.false_negative == 24
    assert one.site.operating_point.sensitivity.value == found.sensitivity.value
    assert {group.column for group in one.subgroups} == {"sex"}
    page = (tmp_path / "site.html").read_text()
    assert site.sha256 in page
    assert "A. Physicist" in page
    assert "<script" not in page


def test_without_a_judge_every_other_patient_is_judged_on(run, table, tmp_path):
    """The same patients are never on both sides, and the order of the table does not matter."""
    with (table / "fit.csv").open() as file:
        rows = list(csv.reader(file))
    upside_down = table / "upside-down.csv"
    upside_down.write_text("\n".join(",".join(row) for row in [rows[0], *rows[:0:-1]]) + "\n")
    reports = []
    for data in ("fit.csv", "upside-down.csv"):
        done = run(
            *(table / data, "--patient", "patient", "--specificity", 0.8),
            *("--half-width", 0.3, "--error", 0.2),
        )
        assert done.exit_code == 0, done.output
        reports.append(Report.model_validate_json((tmp_path / "site.report.json").read_bytes()))
    first, second = (report.findings[0] for report in reports)
    assert first.site == second.site
    assert (first.site.patients, first.patients) == (12, 12)


def test_without_a_patient_column_it_is_said_what_that_means(run, table):
    """Folders and tables without a column of patients are fitted, with a note."""
    done = run(
        *(table / "fit.csv", "--judge", table / "judge.csv"),
        *("--cost", 5, "--half-width", 0.25),
    )
    assert done.exit_code == 0, done.output
    assert EACH_ITS_OWN in " ".join(done.output.split())


def test_too_few_are_refused_with_the_number_needed(run, table):
    """A sensitivity of 0.95 to within 0.05 needs 83 patients, and that many are named."""
    message = refused(
        run,
        *(table / "fit.csv", "--judge", table / "judge.csv"),
        *("--sensitivity", 0.95, "--half-width", 0.05),
    )
    assert f"{IMAGES} patients with the finding among those fitted on are too few" in message
    assert "83 are needed for a sensitivity of 0.95 to within 0.05" in message


def test_one_class_is_refused(run, table, tmp_path):
    """Images that are all of one class fit nothing."""
    rows = (table / "fit.csv").read_text().splitlines()
    negatives = [row for row in rows[1:] if row.split(",")[1] == "0"]
    (table / "negatives.csv").write_text("\n".join([rows[0], *negatives]) + "\n")
    message = refused(
        run, table / "negatives.csv", "--judge", table / "judge.csv", "--sensitivity", 0.9
    )
    assert message == (
        "Pneumonia: the images fitted on are all of one class: all 24 are without it"
    )


def test_a_patient_on_both_sides_is_refused(run, table):
    """A patient among those fitted on and those judged on is named."""
    rows = (table / "judge.csv").read_text().replace("judge0,", "fit0,")
    (table / "both.csv").write_text(rows)
    message = refused(
        *(run, table / "fit.csv", "--judge", table / "both.csv", "--patient", "patient"),
        *("--sensitivity", 0.9),
    )
    assert message.startswith("1 patients are on both sides")
    assert message.endswith("the first is fit0")


def test_the_same_pixels_on_both_sides_are_refused(run, table, tmp_path):
    """A copy of a fitted image under another name and patient is found by its pixels."""
    (table / "copy.png").write_bytes((table / "2000000.png").read_bytes())
    (table / "copied.csv").write_text((table / "judge.csv").read_text() + "copy.png,0,new,F\n")
    message = refused(
        *(run, table / "fit.csv", "--judge", table / "copied.csv", "--patient", "patient"),
        *("--sensitivity", 0.9),
    )
    assert message.startswith("copy.png has the same pixels as an image that is fitted on")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("ward", r"no column is called ward; beside the labels there are: patient, sex"),
        ("sex", r"patients are on both sides"),
    ],
    ids=["no such column", "no patients"],
)
def test_a_column_that_names_no_patients_is_refused(column, message, run, table):
    """A column that is not there, or that the sides share, is refused."""
    said = refused(
        *(run, table / "fit.csv", "--judge", table / "judge.csv", "--patient", column),
        *("--sensitivity", 0.9),
    )
    assert re.search(message, said)


@pytest.mark.parametrize(
    "arguments",
    [(), ("--sensitivity", "0.9", "--cost", "2"), ("--sensitivity", "1")],
    ids=["no aim", "two aims", "out of range"],
)
def test_exactly_one_aim_is_needed(arguments, run, table):
    """No aim, two aims and one that no sample can reach are wrong usage."""
    assert run(table / "fit.csv", *arguments).exit_code == 2


def test_a_site_where_all_is_called_positive_is_mended(run, table, tmp_path, demo_bundle):
    """With an operating point under every probability specificity is 0; fitted, it is over 0.5."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for path in demo_bundle.iterdir():
        if path.name != "manifest.json":
            (folder / path.name).symlink_to(path)
    manifest = json.loads((demo_bundle / "manifest.json").read_text())
    place = manifest["labels"].index("Pneumonia")
    manifest["operating_points"][place] = 1e-6
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = run(
        *(table / "fit.csv", "--judge", table / "judge.csv", "--bundle", folder),
        *("--sensitivity", 0.9, "--half-width", 0.25),
    )
    assert done.exit_code == 0, done.output
    (one,) = Report.model_validate_json((tmp_path / "site.report.json").read_bytes()).findings
    assert one.before.specificity.value == 0.0
    assert one.before.sensitivity.value == 1.0
    assert one.after.point.specificity.value > 0.5
    assert one.after.point.sensitivity.value >= 0.9


def test_tails_are_order_statistics():
    """Of 19 values, the second lowest has a tail of 10 % under it, and none has one of 1 %."""
    values, own = np.arange(19.0), np.arange(19)
    assert lower_tail(values, own, 0.1) == 1.0
    assert upper_tail(values, own, 0.1) == 17.0
    assert lower_tail(values, own, 0.05) == 0.0
    assert lower_tail(values, own, 0.01) is None


def test_images_of_a_patient_share_its_weight():
    """Ten images of one patient weigh no more than one."""
    values = np.concatenate([np.full(10, -1.0), np.arange(18.0)])
    whose = np.concatenate([np.zeros(10, int), np.arange(1, 19)])
    assert lower_tail(values, whose, 0.1) == 0.0


@pytest.mark.parametrize("aim", ["sensitivity", "specificity"])
def test_a_cut_reaches_its_aim_on_average(aim):
    """Over 400 sites of 60 and 60, the mean reached is at the least what is asked for, and the
    share of sites between its exact quantiles is as stated (Beta of the order statistic)."""
    draw = np.random.default_rng(5)
    truth, own = np.arange(120) < 60, np.arange(120)
    reached = []
    for _ in range(400):
        values = draw.uniform(size=120)  # of either class, so that what is reached is known
        at = cut.choose(truth, values, own, Aim(kind=aim, value=0.9))
        reached.append(1 - at if aim == "sensitivity" else at)
    low, high = beta.ppf([0.025, 0.975], 61 - 6, 6)
    inside = np.mean([low <= each <= high for each in reached])
    assert np.mean(reached) == pytest.approx(0.905, abs=0.01)
    assert inside == pytest.approx(0.95, abs=0.035)


def test_a_costlier_miss_lowers_the_cut():
    """The cut of least cost falls as a missed finding costs more, and is exact for two values."""
    truth = np.array([False] * 8 + [True] * 2 + [False] * 2 + [True] * 8)
    values, own = np.array([0.2] * 10 + [0.8] * 10), np.arange(20)
    cheap, dear = (
        cut.choose(truth, values, own, Aim(kind="cost", value=price)) for price in (1, 20)
    )
    assert (cheap, dear) == (0.5, 0.1)


def test_the_fewest_patients_are_those_of_wilsons_interval():
    """At the number the half-width is met, and with one patient less it is not."""
    for share, half in ((0.95, 0.1), (0.9, 0.05), (0.5, 0.1), (1.0, 0.1)):
        n = patients_needed(share, half)
        rates = [_half_width(share, each) for each in (n, n - 1)]
        assert rates[0] <= half < rates[1]
    assert [patients_for_error(each) for each in (0.1, 0.05)] == [9, 19]


def _half_width(share: float, n: int) -> float:
    """Of the roots of Wilson's quadratic (p - share)^2 = z^2 p (1 - p) / n."""
    z = 1.959963984540054
    roots = np.roots([1 + z**2 / n, -(2 * share + z**2 / n), share**2])
    return float(abs(roots[0] - roots[1])) / 2


def test_several_images_of_a_patient_are_worth_fewer():
    """Patients whose images all agree count once; images that are independent count each."""
    hits = np.repeat(np.array([True] * 30 + [False] * 10), 4)
    alike = clustered_rate(hits, np.repeat(np.arange(40), 4))
    apart = clustered_rate(hits, np.arange(160))
    once = clustered_rate(hits[::4], np.arange(40))
    assert (alike.value, alike.count, alike.of) == (0.75, 120, 160)
    assert alike.high - alike.low == pytest.approx(once.high - once.low, rel=0.03)
    assert apart.high - apart.low == pytest.approx((once.high - once.low) / 2, rel=0.05)


def test_platt_is_taken_where_log_odds_are_off_by_a_line():
    """Labels drawn from a line on the log odds give that line back."""
    draw = np.random.default_rng(3)
    at = draw.normal(size=4000)
    truth = draw.uniform(size=4000) < 1 / (1 + np.exp(-(1.5 * at - 1)))
    found = calibrator.fit(truth, 1 / (1 + np.exp(-at)), np.arange(4000))
    assert found.fitted.method == "platt"
    assert found.fitted.slope == pytest.approx(1.5, abs=0.15)
    assert found.fitted.intercept == pytest.approx(-1, abs=0.15)


def test_isotonic_is_taken_where_no_line_fits():
    """A step in the truth is not on a line, and isotonic regression has less log loss there."""
    draw = np.random.default_rng(3)
    values = draw.uniform(0.01, 0.99, size=4000)
    truth = draw.uniform(size=4000) < np.where(values > 0.9, 0.9, 0.1)
    found = calibrator.fit(truth, values, np.arange(4000))
    assert found.fitted.method == "isotonic"
    assert found.log_losses["isotonic"] < found.log_losses["platt"]


def test_a_probability_that_is_calibrated_stays_as_it_is():
    """Labels drawn from the probabilities themselves leave nothing to gain; many images of few
    patients, whose agreement is chance, do so no less."""
    draw = np.random.default_rng(3)
    values = draw.uniform(0.01, 0.99, size=300)
    truth = draw.uniform(size=300) < values
    found = calibrator.fit(truth, values, np.arange(300))
    assert found.fitted.method == "unchanged"
    assert found.log_losses["unchanged"] <= found.log_losses["isotonic"]
    few = draw.uniform(0.01, 0.99, size=20)
    shown = draw.uniform(size=20) < few
    repeated = calibrator.fit(*(np.repeat(one, 50) for one in (shown, few, np.arange(20))))
    assert repeated.fitted.method == "unchanged"


def test_a_network_that_is_the_wrong_way_round_is_refused():
    """Where probabilities are lower with the finding, nothing is fitted."""
    truth = np.arange(40) < 20
    with pytest.raises(FitRefused, match="no higher for images with the finding"):
        calibrator.fit(truth, np.linspace(0.1, 0.9, 40), np.arange(40))


def test_patients_are_counted_by_class():
    """A patient with images of both classes counts in each."""
    both = Side(
        "judged on",
        np.array([True, False, True]),
        np.array([0.9, 0.1, 0.8]),
        np.array(["a", "a", "b"]),
    )
    assert (both.positives, both.negatives) == (2, 1)
    with pytest.raises(FitRefused, match="1 patients without it among those judged on are too few"):
        both.require(2, 2, "for this")
