"""The command line."""

import json
from pathlib import Path

import pydicom
import pytest
from click.testing import CliRunner
from PIL import Image

from bench.files import chest, dicom, stored
from service.cli import cxr, main
from service.commands.images import SAMPLE


@pytest.fixture
def image(tmp_path, phantom_png) -> Path:
    path = tmp_path / "phantom.png"
    path.write_bytes(phantom_png(11, size=260))
    return path


@pytest.fixture
def run(monkeypatch, demo_bundle, tmp_path):
    """Run cxr in an empty folder as a shell would: its output, errors and exit status."""
    monkeypatch.setenv("CXR_BUNDLE", str(demo_bundle))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cxr, [str(part) for part in arguments])


def test_predict_prints_a_table(run, image):
    """By default an answer is a table for people, with the demo notice."""
    done = run("predict", image)
    assert done.exit_code == 0
    assert "Pneumonia" in done.output
    assert "positive" in done.output
    assert "Not for clinical use" in " ".join(done.output.split())


def test_predict_json_is_one_object_a_line(run, image):
    """With --json each image is one line, as /predict answers."""
    done = run("predict", image, image, "--json")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first == second
    assert first["finding"] == "Pneumonia"


def test_a_bad_image_does_not_stop_the_others(run, image, tmp_path):
    """What cannot be scored is named on standard error, the rest answered, the status is 1."""
    bad = tmp_path / "notes.png"
    bad.write_text("no image")
    done = run("predict", bad, tmp_path / "absent.png", image, "--json")
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 1
    assert f"{bad}: This is not an image" in done.stderr
    assert "absent.png: No such file" in done.stderr


def test_without_an_image_one_of_the_test_set_is_picked_and_named(run, tmp_path, phantom_png):
    """cxr predict alone takes an image of datasets/test and says which."""
    folder = tmp_path / "datasets" / "test" / "PNEUMONIA"
    folder.mkdir(parents=True)
    (folder / "person1.png").write_bytes(phantom_png(1))
    (folder / "README.txt").write_text("no image")
    done = run("predict", "--json")
    assert done.exit_code == 0
    assert "picked datasets/test/PNEUMONIA/person1.png" in done.stderr


def test_without_an_image_or_a_test_set_a_shipped_sample_is_scored_and_named(run):
    """On a fresh clone cxr predict alone scores a phantom that ships, and says which one."""
    done = run("predict", "--json")
    assert done.exit_code == 0
    assert f"none in datasets/test/{{NORMAL,PNEUMONIA}}/: taking the sample {SAMPLE}" in done.stderr
    assert "a drawn phantom and no person's radiograph" in done.stderr
    assert json.loads(done.stdout) == json.loads(run("predict", SAMPLE, "--json").stdout)


def test_without_an_image_or_a_test_set_gradcam_draws_on_the_sample(run, tmp_path):
    """On a fresh clone cxr gradcam alone draws on the same phantom, and says so."""
    done = run("gradcam")
    assert done.exit_code == 0
    assert f"taking the sample {SAMPLE}" in done.stderr
    assert (tmp_path / "gradcam_result.png").exists()


def test_a_folder_is_left_to_score(run, image):
    """cxr predict FOLDER says which command scores a folder, and still scores the others."""
    done = run("predict", image.parent, image, "--json")
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 1
    assert f"`cxr score {image.parent} --out results.csv` scores every file" in done.stderr


def test_gradcam_writes_the_overlay(run, image, tmp_path):
    """cxr gradcam writes gradcam_result.png, as wide as the radiograph and captioned beneath, and
    says where the evidence is."""
    done = run("gradcam", image, "--method", "hirescam", "--layer", "denseblock4")
    assert done.exit_code == 0
    assert "Most evidence: image " in done.stdout
    with Image.open(tmp_path / "gradcam_result.png") as picture:
        assert picture.width == 260
        assert picture.height > 260


def test_opacity_zero_leaves_the_radiograph_as_it_is(run, image, tmp_path):
    """cxr gradcam --opacity 0 draws the radiograph without colour."""
    assert run("gradcam", image, "--opacity", "0").exit_code == 0
    with Image.open(tmp_path / "gradcam_result.png") as picture:
        red, green, blue = picture.crop((0, 0, 260, 260)).split()
        assert red.tobytes() == green.tobytes() == blue.tobytes()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["gradcam", "{image}", "--target", "Hernia"],
            "predict no 'Hernia'; they predict Pneumonia.",
        ),
        (
            ["gradcam", "{image}", "--method", "foo"],
            "no method 'foo'; there are gradcam, gradcam++, hirescam, layercam, cam.",
        ),
        (
            ["gradcam", "{image}", "--layer", "foo"],
            "no layer 'foo'; there are denseblock1, denseblock2, denseblock3, denseblock4, norm5.",
        ),
        (
            ["gradcam", "{image}", "--method", "layercam", "--layer", "norm5"],
            "layercam is not offered at norm5; it is at denseblock1, denseblock2.",
        ),
        (["gradcam", "absent.png"], "absent.png: No such file"),
        (
            ["gradcam", "{image}", "--out", "map.dcm"],
            "A DICOM answer is given for DICOM input only.",
        ),
        (
            ["predict", "{image}", "--bundle", "none"],
            "none/manifest.json does not exist; `cxr export --weights demo` makes the demo bundle, "
            "and --bundle or CXR_BUNDLE names another",
        ),
        (["predict", "{image}", "--runtime", "abacus"], "CXR_RUNTIME"),
        (
            ["predict", "{image}", "--runtime", "onnxruntime", "--precision", "int8"],
            "has no variant onnxruntime-int8",
        ),
    ],
    ids=[
        "target",
        "method",
        "layer",
        "method at layer",
        "file",
        "no DICOM",
        "bundle",
        "runtime",
        "variant",
    ],
)
def test_a_failure_is_one_line_and_exit_status_1(
    run, image, monkeypatch, capsys, arguments, reason
):
    """What cannot be done ends with one line on standard error, no traceback, exit status 1."""
    words = [part.format(image=image) for part in arguments]
    monkeypatch.setattr("sys.argv", ["cxr", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("cxr: ")
    assert reason in errors[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["gradcam", "{image}", "--out", "absent/map.png"],
        ["inspect", "{image}", "--out", "absent/input.png"],
        ["card", "--out", "absent/card.md"],
        ["evaluate", "{folder}", "--out", "{image}/evaluation"],
        ["export", "--weights", "demo", "--out", "{image}/models"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_out_that_cannot_be_written_is_refused_before_the_work(run, image, arguments):
    """A file or folder that cannot be written is named, with the reason, before the bundle is
    looked for, and nothing is left behind."""
    before = sorted(image.parent.rglob("*"))
    out = arguments[-1].format(image=image)
    words = [part.format(image=image, folder=image.parent) for part in arguments]
    done = run(*words) if words[0] in ("inspect", "export") else run(*words, "--bundle", "none")
    assert done.exit_code == 1
    reason = "No such file or directory" if out.startswith("absent") else "Not a directory"
    assert done.stderr == f"Error: {out} cannot be written: {reason}\n"
    assert sorted(image.parent.rglob("*")) == before


def test_the_check_of_out_leaves_a_file_as_it_is(run, image, tmp_path):
    """What --out names is not touched where the work then fails."""
    kept = tmp_path / "map.png"
    kept.write_bytes(b"kept")
    assert run("gradcam", image, "--out", kept, "--bundle", "none").exit_code == 1
    assert kept.read_bytes() == b"kept"


@pytest.mark.parametrize("out", ["map.png", "map.jpg", "map.JPEG"])
def test_gradcam_writes_what_the_ending_says(run, image, tmp_path, out):
    """A heat map is a PNG or a JPEG file as the ending of --out says."""
    assert run("gradcam", image, "--out", out).exit_code == 0
    with Image.open(tmp_path / out) as picture:
        assert picture.format == ("PNG" if out == "map.png" else "JPEG")
        assert picture.width == 260


def test_gradcam_writes_a_secondary_capture_into_the_study(run, tmp_path):
    """With --out x.dcm the heat map of a DICOM file is a Secondary Capture in its study."""
    source = tmp_path / "radiograph.dcm"
    source.write_bytes(dicom(stored(chest(8, 300, 260), 12), 12))
    assert run("gradcam", source, "--out", "map.dcm").exit_code == 0
    drawn = pydicom.dcmread(tmp_path / "map.dcm")
    assert drawn.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    assert drawn.StudyInstanceUID == pydicom.dcmread(source).StudyInstanceUID
    assert drawn.Columns == 260


@pytest.mark.parametrize("out", ["map.gif", "map"])
def test_gradcam_refuses_another_ending(run, image, tmp_path, out):
    """An ending under which nothing is written is wrong usage; those that are written are named."""
    done = run("gradcam", image, "--out", out)
    assert done.exit_code == 2
    assert f"{out} does not end in .png, .jpg, .jpeg, .dcm, .dicom" in done.stderr
    assert not (tmp_path / out).exists()


def test_a_target_is_known_in_any_case(run, image):
    """--target takes a finding in any case and prints it as the weights spell it."""
    done = run("gradcam", image, "--target", "pneumonia")
    assert done.exit_code == 0
    assert done.stdout.startswith("Pneumonia 0.")


def test_workers_need_the_engine_that_has_them(run, image):
    """--workers without --engine ray is wrong usage, as --ray-address is."""
    for option, value in {"--workers": "2", "--ray-address": "auto"}.items():
        done = run("score", image, "--out", "results.csv", option, value)
        assert done.exit_code == 2
        assert f"{option} is for --engine ray" in done.stderr


def test_bench_runtimes_refuses_a_name_that_is_no_variant(run):
    """--only with a name that the bundle has no variant of is wrong usage; the message lists
    the variants."""
    done = run("bench", "runtimes", "--only", "foo")
    assert done.exit_code == 2
    assert "no variant 'foo'; it has onnxruntime-float32, torchscript-float32" in done.stderr
    assert done.stdout == ""


def test_bench_runtimes_times_what_only_names(run):
    """--only with a variant's name times that variant alone."""
    options = ["--batch", "1", "--seconds", "0.01", "--rounds", "1", "--no-ceiling"]
    done = run("bench", "runtimes", "--only", "onnxruntime-float32", *options)
    assert done.exit_code == 0
    after_header = done.stdout.partition("x float32\n")[2].splitlines()
    assert [row.split()[0] for row in after_header] == ["onnxruntime-float32"]


def test_a_misspelt_variable_is_warned_about(run, image, monkeypatch):
    """Each command says which CXR_ variable has no effect, and does its work."""
    monkeypatch.setenv("CXR_THREDS", "1")
    done = run("predict", image, "--json")
    assert done.exit_code == 0
    assert "CXR_THREDS is no setting and has no effect; did you mean CXR_THREADS?" in done.stderr
