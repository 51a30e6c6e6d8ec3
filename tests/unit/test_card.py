"""Model cards."""

import json

import pytest
from click.testing import CliRunner

from export.card import demo
from export.card.model_card import cell, write_card
from export.card.subject import by_name, of_bundle
from export.checkpoints.upstream import OFFICIAL
from export.checkpoints.weights import DEMO_SHA256
from export.errors import CardRefused
from export.evaluation.training_sets import COLLECTIONS, TRAINED_ON
from service.cli import cxr


@pytest.fixture
def official_bundle(tmp_path, demo_bundle):
    """A bundle whose manifest is that of official weights; its graphs are the demo's."""
    folder = tmp_path / "densenet121-res224-all"
    folder.mkdir()
    for path in demo_bundle.iterdir():
        if path.name != "manifest.json":
            (folder / path.name).symlink_to(path)
    known = OFFICIAL["densenet121-res224-all"]
    manifest = json.loads((demo_bundle / "manifest.json").read_text())
    manifest["labels"] = known.labels
    manifest["operating_points"] = known.operating_points
    manifest["name"] = manifest["weights"]["name"] = known.name
    manifest["weights"] |= {"demo": False, "source": "official", "training_ages": None}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("name", TRAINED_ON)
def test_every_name_has_a_card(name):
    """A card can be written of each official name and the demo without having the weights: it
    names every collection, every operating point, and says where nothing is known."""
    card = write_card(by_name(name), [])
    assert card.startswith(f"# Model card: {name}\n")
    for key in TRAINED_ON[name]:
        assert COLLECTIONS[key].name in card
    if name in OFFICIAL:
        known = OFFICIAL[name]
        for label, point in zip(known.labels, known.operating_points, strict=True):
            if label:
                assert f"| {label} | {point:.4g} |" in card
        assert (known.sha256 or "digest not published") in card
    assert "None given. `cxr evaluate DATA` measures them" in card
    for heading in ("Training data", "Published figures", "Known failures", "Licence"):
        assert f"\n## {heading}" in card


def test_published_figures_are_upstreams():
    """The card of -all has upstream's benchmarks, the others say that there are none."""
    card = write_card(by_name("densenet121-res224-all"), [])
    header = next(line for line in card.splitlines() if line.startswith("| finding | NIH"))
    row = next(line for line in card.splitlines() if line.startswith("| Pneumonia | 0.71"))
    cells = dict(zip(header.split(" | "), row.split(" | "), strict=True))
    assert (cells["RSNA"], cells["PadChest"], cells["SIIM"]) == ("0.86", "0.82", "–")
    other = write_card(by_name("densenet121-res224-nih"), [])
    assert "not published there" in other


def test_a_bundles_card_is_filled_from_it(official_bundle):
    """Version, digest, variants and fidelity come from the manifest and parity.json."""
    subject = of_bundle(official_bundle)
    card = write_card(subject, [])
    assert f"version `{subject.manifest.version}`" in card
    assert subject.manifest.weights.sha256 in card
    assert f"| {subject.manifest.chosen} (chosen) | 26 phantoms |" in card
    assert "| Pneumothorax | " in card


def test_an_evaluation_fills_the_measured_figures(demo_bundle, tmp_path, phantom_png, monkeypatch):
    """cxr card puts what cxr evaluate measured into the card, digit for digit."""
    for folder, opacity in (("NORMAL", False), ("PNEUMONIA", True)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for seed in (0, 1, 2):
            image = phantom_png(seed, opacity=opacity)
            (tmp_path / "data" / folder / f"{seed}.png").write_bytes(image)
    monkeypatch.setenv("CXR_BUNDLE", str(demo_bundle))
    out = tmp_path / "out"
    run = CliRunner().invoke
    data = str(tmp_path / "data")
    assert run(cxr, ["evaluate", data, "--out", str(out), "--dataset", "phantoms"]).exit_code == 0
    report = json.loads((out / "report.json").read_text())
    card = tmp_path / "card.md"
    done = run(cxr, ["card", "--evaluation", str(out / "report.json"), "--out", str(card)])
    assert done.exit_code == 0, done.output
    text = card.read_text()
    assert "**Trained on this collection.**" in text
    assert f"data `{report['data']['sha256'][:12]}`" in text
    area = report["findings"][0]["auc"]["value"]
    assert f"| Pneumonia | 6 | 3 | {area:.3f} (" in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weights_sha256": "0" * 64}, "is of the weights demo (000000000000), not of demo"),
        ({"weights": "other"}, "is of the weights other"),
        ({"version": "000000000000"}, "evaluate again"),
        ({"extra": 1}, "is no report of cxr evaluate"),
    ],
    ids=["digest", "name", "version", "layout"],
)
def test_an_evaluation_of_another_model_is_refused(demo_bundle, tmp_path, change, reason):
    """Figures of other weights, or of another bundle of the same weights, never reach a card."""
    from export.card.model_card import read_report
    from export.evaluation.records import Data, Finding, Model, Options, Report
    from export.evaluation.training_sets import judge

    subject = of_bundle(demo_bundle)
    report = Report(
        created="2026-01-01T00:00:00+00:00",
        software="0",
        model=Model(
            bundle="demo",
            version=subject.manifest.version,
            weights="demo",
            weights_sha256=subject.sha256,
            runtime="onnxruntime",
            precision="float32",
            demo=True,
        ),
        data=Data(name="d", kind="folders", files=1, scored=1, sha256="0" * 64, left_out=()),
        training=judge("demo", None),
        options=Options(
            target="Pneumonia", prevalence=None, sensitivity=0.9, specificity=0.9, limit=None
        ),
        findings=(
            Finding(
                label="Pneumonia",
                images=0,
                positives=0,
                operating_point=0.2,
                auc={"note": "undefined"},
                average_precision=None,
                points=(),
                calibration=None,
                curves=None,
                subgroups=(),
                mistakes=(),
                mistakes_in_all=0,
                notes=(),
            ),
        ),
        comparisons=(),
        refused=(),
        warnings=(),
    ).model_dump()
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert read_report(path, subject).model.bundle == "demo"
    report["model"] |= change
    path.write_text(json.dumps(report))
    with pytest.raises(CardRefused) as refused:
        read_report(path, subject)
    assert reason in refused.value.message


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["--weights", "densenet"], 1, '"densenet" is none of demo,'),
        (["--weights", "demo", "--bundle", "x"], 2, "exclude each other"),
        (["--bundle", "none"], 1, "none/manifest.json does not exist"),
        (["--weights", "demo", "--evaluation", "none.json"], 1, "none.json cannot be read"),
    ],
    ids=["name", "both", "bundle", "evaluation"],
)
def test_a_card_that_cannot_be_written_says_why(arguments, status, reason):
    """Unknown names, both sources at once and missing files end with the reason."""
    done = CliRunner().invoke(cxr, ["card", *arguments])
    assert done.exit_code == status
    assert reason in done.stderr + str(done.exception)


def test_a_name_cannot_break_out_of_its_cell():
    """What comes from outside stays one cell of a table."""
    assert cell("a | b\n<b>") == "a \\| b &lt;b>"


def test_the_demos_card_beside_the_weights_is_the_programs():
    """models/README.md is what cxr card --weights demo writes, with the digests that are pinned."""
    written = (demo.REPORT.parent / "README.md").read_text(encoding="utf-8")
    assert written == write_card(by_name("demo"), [])
    assert DEMO_SHA256["demo.safetensors"] in written
