"""`cxr inspect`."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from bench.files import chest, dicom, raster, stored
from service.commands.inspect import inspect
from service.errors import NotAnImage, TooLarge
from service.radiograph.decode import decode
from service.radiograph.preprocess import preprocess

VALUES = stored(chest(8, 300, 260), 12)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "radiograph.dcm"
    path.write_bytes(
        dicom(
            VALUES, 12, WindowCenter=2000, WindowWidth=3000, PatientName="Doe^Jane", ViewPosition=""
        )
    )
    return path


@pytest.fixture(autouse=True)
def _no_bundle(tmp_path, monkeypatch):
    """No bundle lies where a command looks for one, unless a test names it."""
    monkeypatch.chdir(tmp_path)


def test_inspect_says_how_unusual_the_image_is(demo_bundle, tmp_path, phantom_png):
    """With a bundle, the network is run and its verdict stands beside what was read; the file is
    shown also where the service would refuse it."""
    usual, turned = tmp_path / "usual.png", tmp_path / "turned.png"
    usual.write_bytes(phantom_png(1))
    Image.open(usual).rotate(90).save(turned)
    verdicts = []
    for path in (usual, turned):
        done = CliRunner().invoke(inspect, [str(path), "--json", "--bundle", str(demo_bundle)])
        verdicts.append(json.loads(done.stdout)["input"]["verdict"])
    assert verdicts == ["usual", "refused"]


def test_inspect_says_what_the_service_sees(file):
    """The JSON names format, syntax, pixels, mapping, crop and warnings."""
    seen = json.loads(CliRunner().invoke(inspect, [str(file), "--json"]).stdout)
    assert seen["format"] == "DICOM"
    assert seen["transfer_syntax"] == "Explicit VR Little Endian"
    assert (seen["photometric_interpretation"], seen["bits"]) == ("MONOCHROME2", 12)
    assert seen["intensity"] == "VOI LUT window 2000/3000"
    assert seen["crop"] == {
        "left": 0,
        "top": 20,
        "side": 260,
        "framing": "crop",
        "border": None,
    }
    assert seen["unseen"] == {"left": 0, "top": 20, "right": 0, "bottom": 20}
    assert seen["warnings"] == [
        "The file does not name the view; only frontal views are scored rightly.",
        "The network did not see 20 pixels at the top and 20 pixels at the bottom (13 % of the "
        "image).",
    ]
    assert seen["input_sha256"] == preprocess(decode(file.read_bytes())).sha256


def test_inspect_can_leave_the_window_out(file):
    """With --no-voi the full range is inspected instead."""
    seen = json.loads(CliRunner().invoke(inspect, [str(file), "--json", "--no-voi"]).stdout)
    assert seen["intensity"] == "full range of 12 bits, VOI LUT of the file not applied"


def test_inspect_honours_the_environment(file, monkeypatch):
    """With CXR_VOI_LUT=false inspect leaves the window out, as the service does."""
    monkeypatch.setenv("CXR_VOI_LUT", "false")
    seen = json.loads(CliRunner().invoke(inspect, [str(file), "--json"]).stdout)
    assert seen["intensity"] == "full range of 12 bits, VOI LUT of the file not applied"


def test_inspect_has_the_limits_of_the_service(file, monkeypatch):
    """A file over a limit of the environment is refused, as the service refuses it."""
    monkeypatch.setenv("CXR_MAX_PIXELS", str(300 * 260 - 1))
    assert isinstance(CliRunner().invoke(inspect, [str(file)]).exception, TooLarge)


def test_inspect_never_names_the_patient(file):
    """Neither the table nor the JSON holds the patient's name."""
    for options in ([], ["--json"]):
        said = CliRunner().invoke(inspect, [str(file), *options])
        assert said.exit_code == 0
        assert "Doe" not in said.output
        assert "window 2000/3000" in said.output


def test_inspect_writes_the_network_s_input(file, tmp_path):
    """The PNG of --out holds the 224 x 224 pixels that the network gets, in 16 bits."""
    out = tmp_path / "input.png"
    assert CliRunner().invoke(inspect, [str(file), "--out", str(out)]).exit_code == 0
    written = np.asarray(Image.open(out)) / 65535
    expected = preprocess(decode(file.read_bytes())).pixels[0]
    assert np.abs(written - expected).max() <= 1 / 65535


def test_inspect_refuses_as_the_service_does(tmp_path):
    """A file that the service refuses is refused with the same error."""
    path = tmp_path / "notes.txt"
    path.write_text("no image")
    assert isinstance(CliRunner().invoke(inspect, [str(path)]).exception, NotAnImage)


def test_inspect_reads_rasters(tmp_path):
    """A PNG is inspected as well, without a DICOM file's attributes."""
    path = tmp_path / "radiograph.png"
    path.write_bytes(raster(stored(chest(8, 64, 64), 16), "PNG"))
    seen = json.loads(CliRunner().invoke(inspect, [str(path), "--json"]).stdout)
    assert (seen["format"], seen["bits"], seen["transfer_syntax"]) == ("PNG", 16, None)
