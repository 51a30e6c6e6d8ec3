"""The command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from service.cli import cxr, main


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


def test_without_an_image_or_a_test_set_the_usage_says_so(run):
    """With nothing to pick from the command is used wrongly: exit status 2."""
    done = run("predict")
    assert done.exit_code == 2
    assert "datasets/test/{NORMAL,PNEUMONIA}/" in done.stderr


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
        (["gradcam", "{image}", "--target", "Hernia"], "predict no 'Hernia'"),
        (["gradcam", "absent.png"], "absent.png: No such file"),
        (["predict", "{image}", "--bundle", "none"], "none/manifest.json does not exist"),
        (["predict", "{image}", "--runtime", "abacus"], "CXR_RUNTIME"),
        (
            ["predict", "{image}", "--runtime", "onnxruntime", "--precision", "int8"],
            "has no variant onnxruntime-int8",
        ),
    ],
    ids=["target", "file", "bundle", "runtime", "variant"],
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
