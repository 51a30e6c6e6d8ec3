"""`cxr evaluate` from files to report."""

import csv
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from export.evaluation.records import Report
from service.cli import cxr

HOSTILE = "<script>alert('x')</script>&\"onerror=.png"


@pytest.fixture(scope="module")
def images(tmp_path_factory, phantom_png):
    """Phantoms in folders, two that lie in the wrong one, and two files that are no radiograph."""
    root = tmp_path_factory.mktemp("phantoms")
    for seed in range(8):
        for folder, opacity in (("NORMAL", False), ("PNEUMONIA", True)):
            path = root / f"hospital{seed % 2}" / folder / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(phantom_png(seed, opacity=opacity))
    wrong = root / "hospital0" / "NORMAL" / "folder"
    wrong.mkdir()
    (wrong / HOSTILE.replace("/", "_")).write_bytes(phantom_png(50, opacity=True, size=260))
    (root / "hospital1" / "PNEUMONIA" / "missed.png").write_bytes(phantom_png(51, opacity=False))
    (root / "hospital1" / "PNEUMONIA" / "notes.txt").write_text("no image")
    (root / "hospital1" / "NORMAL" / "cut.png").write_bytes(phantom_png(52)[:2000])
    return root


@pytest.fixture(scope="module")
def two_findings(tmp_path_factory, demo_bundle):
    """The demo bundle under an official name, with a second output named, one without a published
    operating point, and a higher operating point for pneumonia."""
    folder = tmp_path_factory.mktemp("bundles") / "densenet121-res224-nih"
    folder.mkdir()
    for path in demo_bundle.iterdir():
        if path.name != "manifest.json":
            (folder / path.name).symlink_to(path)
    manifest = json.loads((demo_bundle / "manifest.json").read_text())
    manifest["labels"][0], manifest["operating_points"][0] = "Atelectasis", 0.5
    manifest["labels"][3], manifest["operating_points"][3] = "Pneumothorax", None
    manifest["operating_points"][8] = 0.999
    manifest["name"] = manifest["weights"]["name"] = "densenet121-res224-nih"
    manifest["weights"] |= {"demo": False, "source": "official", "training_ages": None}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def run(monkeypatch, demo_bundle, tmp_path):
    """Run cxr in an empty folder; an error of ours is left to be looked at."""
    monkeypatch.setenv("CXR_BUNDLE", str(demo_bundle))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cxr, [str(part) for part in arguments])


@pytest.fixture(scope="module")
def evaluated(demo_bundle, images, tmp_path_factory):
    """One run over the phantoms, beside another runtime."""
    out = tmp_path_factory.mktemp("evaluation")
    done = CliRunner().invoke(
        cxr,
        [
            *("evaluate", str(images), "--out", str(out), "--bundle", str(demo_bundle)),
            *("--runtime", "onnxruntime", "--compare", "openvino:float32", "--prevalence", "0.1"),
        ],
    )
    assert done.exit_code == 0, done.output
    return out, done


def _report(out):
    return Report.model_validate_json((out / "report.json").read_bytes())


def _independent(truth, scores):
    """AUC and DeLong's standard error from the definition, every pair of images."""
    positive, negative = scores[truth][:, None], scores[~truth][None]
    pairs = (positive > negative) + 0.5 * (positive == negative)
    by_positive, by_negative = pairs.mean(axis=1), pairs.mean(axis=0)
    variance = by_positive.var(ddof=1) / len(by_positive)
    variance += by_negative.var(ddof=1) / len(by_negative)
    return pairs.mean(), variance**0.5


def _hold_against_predictions(out):
    """Hold a report against what follows from its predictions.csv without our statistics."""
    report = _report(out).target
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    truth = np.array([row["Pneumonia"] == "1" for row in rows])
    scores = np.array([float(row["Pneumonia probability"]) for row in rows])
    decided = np.array([row["Pneumonia positive"] == "1" for row in rows])
    value, error = _independent(truth, scores)
    spread = norm.ppf(0.975) * error
    at = report.point("operating point")
    assert report.images == len(rows)
    assert report.auc.value == pytest.approx(roc_auc_score(truth, scores), abs=1e-9)
    assert report.auc.value == pytest.approx(value, abs=1e-9)
    assert report.auc.low == pytest.approx(max(value - spread, 0), abs=1e-9)
    assert report.auc.high == pytest.approx(min(value + spread, 1), abs=1e-9)
    assert report.average_precision == pytest.approx(
        average_precision_score(truth, scores), abs=1e-9
    )
    assert at.sensitivity.value == pytest.approx((decided & truth).sum() / truth.sum(), abs=1e-9)
    assert at.specificity.value == pytest.approx(
        (~decided & ~truth).sum() / (~truth).sum(), abs=1e-9
    )
    return report


def test_figures_follow_from_the_predictions(evaluated):
    """Area, interval, sensitivity and specificity equal scikit-learn's and DeLong's definition."""
    out, _ = evaluated
    _hold_against_predictions(out)


def test_figures_on_real_radiographs(run, radiographs, tmp_path):
    """The same on real radiographs, where CXR_XRAYS names them."""
    done = run("evaluate", radiographs / "dev", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    report = _hold_against_predictions(tmp_path / "out")
    print(report.auc, report.point("operating point").sensitivity)


def test_the_summary_says_what_matters(evaluated):
    """The terminal shows figures, refused files with their code, the training data's verdict and
    where the report is."""
    out, done = evaluated
    words = " ".join(done.stdout.split())
    assert "18 images, 9 with the finding" in words
    assert "hospital1/PNEUMONIA/notes.txt: not_an_image: This is not an image" in words
    assert "hospital1/NORMAL/cut.png: truncated_image" in words
    assert "cannot be excluded that these weights were trained on them" in words
    assert "Demo weights" in words
    assert f"Wrote {out}/report.html" in words


def test_refused_files_are_listed_and_never_counted(evaluated):
    """What cannot be scored is named with its reason and is in no figure."""
    report = _report(evaluated[0])
    assert {one.file: one.code for one in report.refused} == {
        "hospital1/PNEUMONIA/notes.txt": "not_an_image",
        "hospital1/NORMAL/cut.png": "truncated_image",
    }
    assert (report.data.files, report.data.scored, report.target.images) == (20, 18, 18)


def test_the_most_confident_mistakes_are_shown(evaluated):
    """Images in the wrong folder are the mistakes, each with a place in its heat map."""
    target = _report(evaluated[0]).target
    shown = {one.file.rpartition("/")[2]: one.kind for one in target.mistakes}
    assert shown[HOSTILE.replace("/", "_")] == "false positive"
    assert shown["missed.png"] == "false negative"
    at = target.point("operating point")
    assert target.mistakes_in_all == at.false_positive + at.false_negative
    places = [one.place for one in target.mistakes if one.kind == "false positive"]
    assert re.fullmatch(r"image (left|right), (upper|middle|lower) third", places[0])


def test_folders_make_subgroups(evaluated):
    """The rest of the path parts the images, and the parts add up."""
    groups = _report(evaluated[0]).target.subgroups
    assert {(one.column, one.value) for one in groups} == {
        ("folder", "hospital0"),
        ("folder", "hospital0/folder"),
        ("folder", "hospital1"),
    }
    assert sum(one.images for one in groups) == 18


def test_another_runtime_stands_beside(evaluated):
    """A comparison is paired, and float32 on another runtime changes next to nothing."""
    (other,) = _report(evaluated[0]).comparisons
    (one,) = other.findings
    assert (other.name, other.model.variant) == ("openvino:float32", "openvino float32")
    assert (one.images, one.flips) == (18, ())
    assert 0 < one.max_probability_difference < 1e-5
    assert one.mean_probability_difference <= one.max_probability_difference


class _Page(HTMLParser):
    """What a browser would load, run or show."""

    def __init__(self):
        super().__init__()
        self.loads, self.tags, self.handlers, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in {"src", "href", "srcset", "data", "action", "poster"}:
                self.loads.append(value)
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_holds_all_and_asks_nothing(evaluated):
    """The page loads nothing but what is in it, and has no script."""
    page = _Page()
    html = (evaluated[0] / "report.html").read_text(encoding="utf-8")
    page.feed(html)
    assert page.loads
    assert all(load.startswith("data:image/jpeg;base64,") for load in page.loads)
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(page.tags)
    assert not re.search(r"url\(|@import|https?:", html)
    assert page.tags.count("svg") >= 4
    assert "This file names the images" in " ".join(page.text)


def test_a_hostile_file_name_is_text(evaluated):
    """A file name that looks like a script is shown, not run."""
    page = _Page()
    page.feed((evaluated[0] / "report.html").read_text(encoding="utf-8"))
    assert not page.handlers
    assert any(HOSTILE.replace("/", "_") in text for text in page.text)


def test_two_runs_differ_in_the_date_alone(run, images, tmp_path, demo_bundle):
    """The same files and bundle give the same bytes, apart from `created`."""
    texts = []
    for name in ("one", "two"):
        out = tmp_path / name
        assert run("evaluate", images, "--out", out, "--limit", "5").exit_code == 0
        report = (out / "report.json").read_text()
        date = json.loads(report)["created"]
        page = (out / "report.html").read_text()
        table = (out / "predictions.csv").read_text()
        texts.append(
            [text.replace(date, "").replace(date[:10], "") for text in (report, page, table)]
        )
        assert str(images) not in report + page + table
        assert str(demo_bundle) not in report + page + table
    assert texts[0] == texts[1]


def test_another_bundle_stands_beside(run, images, two_findings, tmp_path):
    """A bundle of the same network and another operating point differs in decisions alone, each of
    which is listed; findings that only one of both predicts are not compared."""
    arguments = ("--out", tmp_path / "out", "--compare", two_findings)
    assert run("evaluate", images, *arguments).exit_code == 0
    (other,) = _report(tmp_path / "out").comparisons
    (one,) = other.findings
    assert (other.name, other.model.weights) == (two_findings.name, two_findings.name)
    assert (one.max_probability_difference, one.difference.value, one.p_value) == (0, 0, 1)
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    probabilities = {row["file"]: float(row["Pneumonia probability"]) for row in rows}
    between = {name for name, value in probabilities.items() if 0.1556 < value < 0.999}
    assert between
    assert {flip.file for flip in one.flips} == between


def test_a_table_of_several_findings(run, images, two_findings, tmp_path):
    """Each labelled finding has its figures over the images whose label is known; one without an
    operating point has no decisions; one that is constant has no area; both say so."""
    table = images / "table.csv"
    rows = ["path,Pneumonia,Atelectasis,Pneumothorax,Hernia,sex"]
    for seed in range(8):
        rows.append(f"hospital{seed % 2}/NORMAL/{seed}.png,0,{seed % 2},1,0,F")
        rows.append(f"hospital{seed % 2}/PNEUMONIA/{seed}.png,1,,{seed % 3 % 2},0,M")
    rows.append("hospital0/NORMAL/gone.png,0,0,0,0,F")
    table.write_text("\n".join(rows))
    try:
        arguments = ("--bundle", two_findings, "--target", "Atelectasis", "--dataset", "RSNA")
        done = run("evaluate", table, "--out", tmp_path / "out", *arguments)
    finally:
        table.unlink()
    assert done.exit_code == 0, done.output
    report = _report(tmp_path / "out")
    assert [one.label for one in report.findings] == ["Atelectasis", "Pneumonia", "Pneumothorax"]
    leading, pneumonia, pneumothorax = report.findings
    assert (leading.images, leading.positives) == (8, 4)
    assert pneumonia.images == 16
    assert pneumothorax.point("operating point") is None
    assert pneumothorax.mistakes_in_all is None
    assert "no operating point is published" in pneumothorax.notes[-1]
    assert [(one.column, one.value) for one in pneumonia.subgroups] == [("sex", "F"), ("sex", "M")]
    assert report.refused[0].file == "hospital0/NORMAL/gone.png"
    assert report.training.verdict == "shared images"
    assert report.data.left_out == (
        "column Hernia: these weights do not predict it",
        "column input: one value throughout",
    )


def test_a_table_of_absolute_paths(run, images, tmp_path):
    """A table may name files anywhere by absolute paths, and --target a finding in any case."""
    table = tmp_path / "table.csv"
    listed = {
        images / "hospital0" / "NORMAL" / "0.png": 0,
        images / "hospital0" / "PNEUMONIA" / "0.png": 1,
    }
    rows = "".join(f"{path},{label}\n" for path, label in listed.items())
    table.write_text(f"path,Pneumonia\n{rows}")
    done = run("evaluate", table, "--out", tmp_path / "out", "--target", "pneumonia")
    assert done.exit_code == 0, done.output
    report = _report(tmp_path / "out")
    assert report.options.target == "Pneumonia"
    assert (report.target.images, report.target.positives) == (2, 1)
    assert str(images) not in (tmp_path / "out" / "report.json").read_text()


def test_images_of_one_class_have_no_area(run, images, tmp_path):
    """With one class only the area is undefined and said to be, the rest is still reported."""
    table = images / "one.csv"
    table.write_text("path,Pneumonia\nhospital0/NORMAL/0.png,0\nhospital0/NORMAL/2.png,0\n")
    try:
        done = run("evaluate", table, "--out", tmp_path / "out")
    finally:
        table.unlink()
    assert done.exit_code == 0, done.output
    assert "undefined: the images are all of one class" in " ".join(done.stdout.split())
    target = _report(tmp_path / "out").target
    assert (target.auc.value, target.calibration) == (None, None)
    assert target.point("operating point").sensitivity.value is None


def test_nothing_that_can_be_scored_is_a_failure(run, tmp_path):
    """Where every file is refused the command fails, with the reasons counted."""
    folder = tmp_path / "data" / "NORMAL"
    folder.mkdir(parents=True)
    for name in ("a.png", "b.png"):
        (folder / name).write_text("no image")
    done = run("evaluate", tmp_path / "data")
    assert done.exit_code == 1
    assert "no image could be scored" in done.exception.message
    assert "2 x not_an_image" in done.exception.message


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        ([], 2, "no DIR or CSV was named and there is no datasets/test"),
        (["absent"], 2, "absent does not exist"),
        (["{images}", "--prevalence", "1.5"], 2, "--prevalence"),
        (["{images}", "--compare", "openvino:int3"], 2, "openvino is run in float32"),
        (["{images}", "--compare", "abacus"], 2, "neither a bundle's folder nor"),
        (["{images}", "--target", "Hernia"], 1, "predict no 'Hernia'"),
        (["{images}", "--bundle", "none"], 1, "none/manifest.json does not exist"),
        (["{images}", "--compare", "onnxruntime:float32", "--runtime", "abacus"], 1, "CXR_RUNTIME"),
    ],
    ids=["nothing", "absent", "prevalence", "precision", "compare", "target", "bundle", "runtime"],
)
def test_wrong_usage_and_failures_differ(run, images, arguments, status, reason):
    """What was asked wrongly ends with status 2, what could not be done with 1, both with why."""
    done = run("evaluate", *(part.format(images=images) for part in arguments))
    assert done.exit_code == status
    assert reason in done.stderr + str(done.exception)
