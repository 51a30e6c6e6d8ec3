"""What a site file adds to answers, archives, evaluations and cards, and what it leaves alone."""

import csv
import json
import re

import pytest
from click.testing import CliRunner
from fhir.resources.R4B.bundle import Bundle
from pydicom import uid
from site_files import site_file

from bench.files import chest, dicom, stored
from export.evaluation.records import Report
from service.archive.listing import Listing
from service.archive.pins import pin
from service.cli import cxr
from service.commands.launch import launch
from service.errors import SiteRefused
from service.explain.answer import ExplanationAnswer
from service.explain.dicom.study import source_header
from service.explain.drawing.figure import caption
from service.explain.explainer import open_explainer
from service.explain.fhir import explanation_bundle
from service.explain.fields import ExplainFields
from service.explain.replies import draw_as, explanation_reply
from service.media_types import PNG
from service.network.answer import Prediction, model_answer
from service.network.bundle import read_manifest
from service.network.predictor import open_predictor
from service.settings import Settings, read_settings


@pytest.fixture
def site(demo_bundle, tmp_path):
    """A site file that calls every image uncertain, and its digest."""
    file = site_file(read_manifest(demo_bundle), cut=0.5, lowest_positive=0.0, highest_negative=1.0)
    path = tmp_path / "site.json"
    path.write_text(file.model_dump_json())
    return path, file.sha256


@pytest.fixture
def strange(demo_bundle, tmp_path):
    """A site file of another bundle."""
    manifest = read_manifest(demo_bundle).model_copy(update={"version": "0123456789ab"})
    path = tmp_path / "strange.json"
    path.write_text(site_file(manifest).model_dump_json())
    return path


@pytest.fixture
def run(monkeypatch, demo_bundle, tmp_path):
    """Run cxr in an empty folder."""
    monkeypatch.setenv("CXR_BUNDLE", str(demo_bundle))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cxr, [str(part) for part in arguments])


def test_answers_keep_all_that_they_have_without_a_site_file(demo_bundle, site, phantom_png):
    """The site file fills the fields `site`, null without one, and changes nothing else."""
    path, sha256 = site
    data = phantom_png(1)
    plain, fitted = (
        open_predictor(read_settings(bundle=str(demo_bundle), site=one)).predict(data)
        for one in (None, path)
    )
    without, with_it = plain.model_dump(), fitted.model_dump()
    assert without["site"] is None
    assert with_it["site"] == {"sha256": sha256, "created": "2026-01-01T00:00:00+00:00"}
    found = with_it["pathologies"]["Pneumonia"].pop("site")
    assert found["decision"] == "uncertain"
    assert found["operating_point"] == 0.5
    assert found["calibrated_probability"] == pytest.approx(with_it["probability"], abs=1e-6)
    assert without["pathologies"]["Pneumonia"].pop("site") is None
    del without["site"], with_it["site"]
    assert with_it == without


def test_the_command_line_shows_the_sites_decision(run, site, tmp_path, phantom_png):
    """`cxr predict --site` has the calibrated probability, the decision and the file's digest."""
    (tmp_path / "a.png").write_bytes(phantom_png(1))
    done = run("predict", "a.png", "--site", site[0])
    assert done.exit_code == 0, done.output
    assert "uncertain" in done.output
    assert f"site file {site[1][:12]} of 2026-01-01" in done.output


@pytest.mark.parametrize("command", ["predict", "score", "evaluate", "card"])
def test_another_bundles_site_file_is_refused_everywhere(command, run, strange, phantom_png):
    """Every command that takes --site holds it to the bundle before any work."""
    folder = strange.parent / "data" / "NORMAL"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(phantom_png(1))
    data = {"predict": ["data/NORMAL/a.png"], "score": ["data", "--out", "r.csv"], "card": []}
    done = run(command, *data.get(command, ["data"]), "--site", strange)
    assert isinstance(done.exception, SiteRefused), done.output
    assert "was fitted to demo 0123456789ab" in done.exception.message


def test_a_server_is_not_started_with_another_bundles_site_file(demo_bundle, strange):
    """`cxr serve` refuses it before anything is started."""
    with pytest.raises(SiteRefused, match="was fitted to demo 0123456789ab"):
        launch(Settings(bundle=str(demo_bundle), site=strange), "127.0.0.1", 28_471)


def test_an_archive_has_columns_of_the_site(run, site, tmp_path, phantom_png):
    """With a site file rows have its decision, calibrated probability and digest, and without one
    no such column."""
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "a.png").write_bytes(phantom_png(1))
    rows = []
    for out, options in (("plain.csv", ()), ("site.csv", ("--site", site[0]))):
        done = run("score", "archive", "--out", out, *options)
        assert done.exit_code == 0, done.output
        with (tmp_path / out).open(newline="") as file:
            rows += list(csv.DictReader(file))
    plain, fitted = rows
    assert fitted["Pneumonia_site_decision"] == "uncertain"
    assert fitted["site_sha256"] == site[1]
    assert float(fitted["Pneumonia_calibrated_probability"]) == pytest.approx(
        float(fitted["Pneumonia_probability"]), abs=1e-6
    )
    added = ("Pneumonia_site_decision", "Pneumonia_calibrated_probability", "site_sha256")
    assert [name for name in fitted if name not in added] == list(plain)


def test_an_archive_is_not_continued_with_another_site_file(demo_bundle, site, tmp_path):
    """The site file is among what rows depend on."""
    listing = Listing(tmp_path / "listing", 1, "0")
    pins = [
        pin(open_predictor(settings), settings, listing, "csv", None)
        for settings in (
            read_settings(bundle=str(demo_bundle), site=path) for path in (None, site[0])
        )
    ]
    (difference,) = pins[1].differences(pins[0].as_json())
    assert difference == f"site: None then, {site[1]} now"


def test_an_evaluation_and_a_card_know_the_site_file(run, site, tmp_path, phantom_png):
    """The report judges the site's cut and decisions, and the card has the file's figures."""
    for kind in ("NORMAL", "PNEUMONIA"):
        for seed in range(4):
            path = tmp_path / "data" / kind / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(phantom_png(seed, opacity=kind == "PNEUMONIA"))
    compare = ("--compare", "openvino:float32")
    done = run("evaluate", "data", "--out", "out", "--site", site[0], *compare)
    assert done.exit_code == 0, done.output
    report = Report.model_validate_json((tmp_path / "out" / "report.json").read_bytes())
    assert report.site.sha256 == site[1]
    judged = report.target.site
    assert (judged.uncertain.count, judged.uncertain.of) == (8, 8)
    assert (judged.missed.count, judged.false_alarms.count) == (0, 0)
    assert judged.point.probability == 0.5
    assert judged.calibration.brier == pytest.approx(report.target.calibration.brier, abs=1e-6)
    assert "By the site's own file" in (tmp_path / "out" / "report.html").read_text()
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        decisions = {row["Pneumonia site decision"] for row in csv.DictReader(file)}
    assert decisions == {"uncertain"}
    card = run("card", "--site", site[0], "--evaluation", "out/report.json")
    assert card.exit_code == 0, card.output
    assert re.search(rf"Site file `{site[1][:12]}` of 2026-01-01", card.output)
    assert "| Pneumonia | 0.5000 (0.2500 to 0.5000) | sensitivity 0.9 |" in card.output


def test_pictures_and_reports_have_the_sites_decision(demo_bundle, site):
    """The caption of a heat map, the answer of /explain and the structured report say it."""
    explainer = open_explainer(read_settings(bundle=str(demo_bundle), site=site[0]))
    data = dicom(stored(chest(1, 96, 96), 12), 12, syntax=uid.ExplicitVRLittleEndian)
    fields = ExplainFields(method="cam")
    _, found = draw_as(PNG, explainer, data, fields)
    words = f"At this site uncertain: calibrated probability {found.served.probability:.3f}"
    assert caption(found, reply_model(explainer)).lines[0].startswith(words)
    answer = json.loads(explanation_reply(explainer, data, fields, None, dicom=False).content)
    assert answer["score"]["site"]["decision"] == "uncertain"
    report = explanation_reply(explainer, data, fields, None, dicom=True).content
    assert words.encode() in report
    assert f"site file {site[1][:12]}".encode() in report


def reply_model(explainer):
    """The model as the explainer names it."""
    return model_answer(explainer.manifest, explainer.manifest.variant("torchscript"))


def test_calibrating_again_needs_no_older_site_file(run, strange, monkeypatch, tmp_path):
    """CXR_SITE of an older bundle does not stand in the way of the next fit."""
    monkeypatch.setenv("CXR_SITE", str(strange))
    (tmp_path / "data" / "NORMAL").mkdir(parents=True)
    (tmp_path / "data" / "NORMAL" / "a.txt").write_text("no image")
    done = run("calibrate", "data", "--cost", "1")
    assert done.exception.message == "Pneumonia: no image fitted on is labelled"


def test_the_openapi_document_has_the_sites_fields(demo_bundle):
    """A client that is generated from the document knows the site's decision."""
    schema = json.dumps(Prediction.model_json_schema())
    for name in ("calibrated_probability", "operating_point", "uncertain"):
        assert name in schema


def test_fhir_resources_have_the_sites_decision(run, site, demo_bundle, tmp_path):
    """Its three components stand in the Observation of a prediction and of an explanation, the
    decision in the conclusion, and none of them without a site file."""
    data = dicom(stored(chest(1, 96, 96), 12), 12, syntax=uid.ExplicitVRLittleEndian)
    (tmp_path / "a.dcm").write_bytes(data)
    plain = run("predict", "a.dcm", "--format", "fhir")
    fitted = run("predict", "a.dcm", "--format", "fhir", "--site", site[0])
    explainer = open_explainer(read_settings(bundle=str(demo_bundle), site=site[0]))
    answer = explanation_reply(explainer, data, ExplainFields(method="cam"), None, dicom=False)
    explained = explanation_bundle(
        source_header(data), ExplanationAnswer.model_validate_json(answer.content)
    )
    assert "site" not in plain.stdout
    for text in (fitted.stdout, explained):
        found = {entry["resource"]["resourceType"]: entry["resource"] for entry in entries(text)}
        _, probability, *at_site = found["Observation"]["component"]
        names = ["calibrated", "site decision", "site file"]
        assert [each["code"]["coding"][0]["code"] for each in at_site] == names
        calibrated, decision, file = at_site
        told = calibrated["valueQuantity"]["value"]
        assert told == pytest.approx(probability["valueQuantity"]["value"], abs=2e-6)
        assert decision["valueCodeableConcept"]["text"] == "uncertain"
        assert decision["valueCodeableConcept"]["coding"][0]["code"] == "82334004"
        assert file["valueString"] == site[1]
        words = f"; at this site uncertain, calibrated probability {told:.3f}"
        assert words in found["DiagnosticReport"]["conclusion"]


def entries(text):
    """Entries of a bundle that is valid."""
    Bundle.model_validate_json(text)
    return json.loads(text)["entry"]
