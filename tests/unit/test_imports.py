"""What may import what."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OFFLINE = (
    *("torch", "torchvision", "torchxrayvision", "onnx", "nncf", "safetensors", "scipy"),
    *("highdicom", "pyarrow", "ray"),
)

BLOCKED = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""

CXR = "from service.cli import main; sys.argv[0] = 'cxr'; main()"


def run(code: str, *arguments: str, absent=OFFLINE) -> subprocess.CompletedProcess:
    """Run code in an interpreter in which the offline packages cannot be imported."""
    blocked = BLOCKED.format(names=absent)
    return subprocess.run(
        [sys.executable, "-c", blocked + code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_imports_run_one_way():
    """The contracts in pyproject.toml hold: layers, no circles, nothing of export in service."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_one_module_touches_the_internals_of_bentoml():
    """Private packages of BentoML are imported in service/http/framework.py and nowhere else."""
    touched = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "service").rglob("*.py")
        if re.search(r"^\s*(from|import) (_bentoml|bentoml\._)", path.read_text(), re.MULTILINE)
    }
    assert touched == {"service/http/framework.py"}


def test_the_service_starts_without_the_offline_packages():
    """service.app, with all that it wires, imports where torch and the exporters are absent."""
    done = run(
        "import service.app, service.network.predictor, service.cli; "
        "import service.explain.drawing.figure; "
        "import service.explain.faithfulness; "
        "import service.explain.cam.class_map, service.explain.cam.request; "
        "import service.explain.answer; "
        "print('started')"
    )
    assert done.stdout == "started\n", done.stderr


def test_predict_works_without_the_offline_packages(demo_bundle, tmp_path, phantom_png):
    """The base install scores an image from the command line."""
    image = tmp_path / "phantom.png"
    image.write_bytes(phantom_png(1))
    done = run(CXR, "predict", str(image), "--json", "--bundle", str(demo_bundle))
    assert done.returncode == 0, done.stderr
    assert '"finding":"Pneumonia"' in done.stdout


def test_an_archive_is_scored_without_the_extras(demo_bundle, tmp_path, phantom_png):
    """The base install scores an archive into CSV."""
    (tmp_path / "phantom.png").write_bytes(phantom_png(1))
    out = tmp_path / "results.csv"
    done = run(CXR, "score", str(tmp_path), "--out", str(out), "--bundle", str(demo_bundle))
    assert done.returncode == 0, done.stderr
    assert out.read_text().splitlines()[1].startswith("phantom.png,ok,")


@pytest.mark.parametrize(
    ("arguments", "package"),
    [
        (["gradcam", "x.png"], "torch"),
        (["export", "--weights", "demo"], "torch"),
        (["score", "x", "--out", "r.parquet"], "pyarrow"),
        (["score", "x", "--out", "r", "--format", "dicom-sr"], "highdicom"),
        (["score", "x", "--out", "r.csv", "--engine", "ray"], "ray"),
        (["evaluate", "."], "scipy"),
        (["calibrate", ".", "--cost", "1"], "scipy"),
        (["watch", "--reference", ".", "--now", "."], "scipy"),
        (["card", "--weights", "demo"], "torch"),
    ],
    ids=[
        "gradcam",
        "export",
        "parquet",
        "structured reports",
        "ray",
        "evaluate",
        "calibrate",
        "watch",
        "card",
    ],
)
def test_a_command_whose_packages_are_absent_says_what_to_install(arguments, package):
    """Without its extra a command fails with exit status 1 and names the extra."""
    done = run(CXR, *arguments)
    assert done.returncode == 1
    assert f"needs {package}, which is not installed: pip install 'cxr-pneumonia[" in done.stderr


def test_evaluating_needs_no_exporter():
    """cxr evaluate and the card of a bundle work where torch and the exporters are absent."""
    done = run(
        "import export.evaluation.run, export.card.model_card, export.card.subject; print('ready')",
        absent=tuple(name for name in OFFLINE if name != "scipy"),
    )
    assert done.stdout == "ready\n", done.stderr


def test_importing_service_imports_nothing_heavy():
    """`import service` loads neither the framework nor numpy: the classes come when asked for."""
    done = run("import service; print(sorted({'bentoml', 'numpy', 'pydantic'} & set(sys.modules)))")
    assert done.stdout == "[]\n", done.stderr


def test_no_runtime_keeps_or_sends_events(demo_bundle, tmp_path):
    """Importing and using the runtimes leaves no file of their makers' telemetry behind."""
    code = (
        "import service, onnxruntime, openvino, sys; "
        "onnxruntime.InferenceSession(sys.argv[1]); openvino.Core().read_model(sys.argv[1])"
    )
    places = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "CI": ""}
    network = demo_bundle / "network.onnx"
    subprocess.run(
        [sys.executable, "-c", code, network], cwd=ROOT, env=os.environ | places, check=True
    )
    assert list(tmp_path.rglob("*")) == []
