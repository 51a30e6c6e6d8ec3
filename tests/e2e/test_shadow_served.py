"""A second bundle that scores the same images, as it is served."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pyarrow.dataset
import pytest
from click.testing import CliRunner
from other_bundles import add_to_logits, fail_over, other_bundle
from protocol import json_files
from served import serving

from export.monitoring.commands import DRIFTS, watch
from export.monitoring.records import ShadowReport

OUTCOMES = ("scored", "dropped", "failed")
IMAGES = 30
"""Fewer than may wait, and as many as a comparison needs."""


@pytest.fixture
def shadowed(demo_bundle, tmp_path):
    """Start a service with a shadow that is to score every image."""

    def start(shadow):
        return serving(
            demo_bundle,
            tmp_path,
            CXR_SHADOW=str(shadow),
            CXR_SHADOW_SHARE="1",
            CXR_MONITORING_LOG=str(tmp_path / "numbers"),
        )

    return start


def outcomes(url):
    """How many images had which outcome; 0 where none had."""
    found = dict.fromkeys(OUTCOMES, 0)
    for line in httpx.get(f"{url}/metrics").text.splitlines():
        if line.startswith("cxr_shadow_images_total{"):
            found[line.split('"')[1]] = int(float(line.split()[-1]))
    return found


def wait_for(url, images):
    """Wait until so many images have an outcome, and return the outcomes.

    The shadow stands back for everything else on the machine, other tests among it.
    """
    deadline = time.monotonic() + 240
    while sum((found := outcomes(url)).values()) < images and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def ask(url, files):
    """The answers of /predict, asked for one file after the other."""
    with httpx.Client(base_url=url, timeout=60) as client:
        answers = [client.post("/predict", files={"image": data}) for data in files]
        assert [answer.status_code for answer in answers] == [200] * len(files)
        return [answer.json() for answer in answers]


def rows_of(folder):
    files = sorted((folder / "numbers").rglob("*.parquet"))
    return pyarrow.dataset.dataset(files).to_table().to_pylist()


def watched(folder):
    """Compare, and return the exit status and the report."""
    done = CliRunner().invoke(
        watch, ["--shadow", str(folder / "numbers"), "--out", str(folder / "out")]
    )
    report = (folder / "out" / "shadow.json").read_bytes()
    return done.exit_code, ShadowReport.model_validate_json(report)


@pytest.fixture(scope="module")
def files(phantom_png):
    return [phantom_png(seed, opacity=seed % 2 == 0) for seed in range(IMAGES)]


def test_the_same_bundle_never_decides_otherwise(demo_bundle, shadowed, files, tmp_path):
    """Every way of asking is scored twice and written with both numbers; they are equal, and
    `cxr watch --shadow` finds nothing."""
    with shadowed(demo_bundle) as served:
        ask(served.url, files)
        wait_for(served.url, IMAGES)
        batch = [("images", data) for data in files[:3]]
        assert httpx.post(f"{served.url}/predict_batch", files=batch, timeout=60).status_code == 200
        infer = httpx.post(f"{served.url}/v2/models/cxr/infer", json=json_files(files[0]))
        assert infer.status_code == 200
        found = wait_for(served.url, IMAGES + 4)
    assert found == {"scored": IMAGES + 4, "dropped": 0, "failed": 0}
    rows = rows_of(tmp_path)
    assert len(rows) == IMAGES + 4
    for row in rows:
        assert row["shadow_version"] == row["model_version"]
        assert row["Pneumonia_positive_shadow"] == row["Pneumonia_positive"]
        assert row["Pneumonia_score_shadow"] == pytest.approx(row["Pneumonia_score"], abs=0.02)
    status, report = watched(tmp_path)
    assert status == 0
    assert report.findings[0].same_decision.value == 1.0


def test_another_bundle_decides_otherwise(demo_bundle, shadowed, files, tmp_path):
    """A float32 network whose logits are higher by 3 calls more images positive: the answers are
    the served bundle's, the log has both, and `cxr watch --shadow` says so."""
    other = other_bundle(demo_bundle, tmp_path / "next", add_to_logits(3.0))
    with shadowed(other) as served:
        answers = ask(served.url, files)
        assert wait_for(served.url, IMAGES)["scored"] == IMAGES
    rows = rows_of(tmp_path)
    logged = sorted(row["Pneumonia_score"] for row in rows)
    assert logged == pytest.approx(sorted(answer["score"] for answer in answers), abs=1e-7)
    assert sum(row["Pneumonia_positive"] for row in rows) == IMAGES // 2
    shadow = sum(row["Pneumonia_positive_shadow"] for row in rows)
    assert shadow > IMAGES // 2 + 7
    status, report = watched(tmp_path)
    assert status == DRIFTS
    (pneumonia,) = report.findings
    assert pneumonia.decisions_differ
    assert pneumonia.positive_shadow.count == shadow
    assert (pneumonia.served_alone, pneumonia.shadow_alone) == (0, shadow - IMAGES // 2)


def test_a_shadow_that_fails_fails_no_request(demo_bundle, shadowed, files, tmp_path):
    """Where its network gives no number the row has none of it, one line of log says it, and the
    service answers as ever."""
    other = other_bundle(demo_bundle, tmp_path / "next", fail_over(4.8))
    with shadowed(other) as served:
        answers = ask(served.url, files)
        found = wait_for(served.url, IMAGES)
        assert httpx.get(f"{served.url}/readyz").status_code == 200
        log = served.log.read_text()
    assert [answer["positive"] for answer in answers] == [seed % 2 == 0 for seed in range(IMAGES)]
    assert found["failed"] > 0
    assert found["scored"] == IMAGES - found["failed"]
    assert 1 <= log.count("the shadow failed on an image") <= found["failed"]
    rows = rows_of(tmp_path)
    assert sum(row["shadow_version"] is None for row in rows) == found["failed"]
    assert len(rows) == IMAGES


def test_an_overloaded_service_answers_and_lets_images_go(demo_bundle, shadowed, files, tmp_path):
    """With 16 callers every request is answered, every image has its row, and each was scored or
    counted as dropped."""
    with shadowed(demo_bundle) as served:
        with ThreadPoolExecutor(16) as callers:
            done = list(callers.map(lambda _: len(ask(served.url, files[:20])), range(16)))
        found = wait_for(served.url, sum(done))
    assert sum(found.values()) == sum(done) == 320
    assert found["failed"] == 0
    assert found["dropped"] > 0
    rows = rows_of(tmp_path)
    assert len(rows) == 320
    assert sum(row["shadow_version"] is not None for row in rows) == found["scored"]


def test_a_shadow_that_is_killed_comes_back(demo_bundle, shadowed, files):
    """Its process gone, one image fails, the service answers as ever and the next is scored."""
    with shadowed(demo_bundle) as served:
        ask(served.url, files[:1])
        assert wait_for(served.url, 1)["scored"] == 1
        (process,) = [
            child
            for child in psutil.Process(served.process.pid).children(recursive=True)
            if "service.serving.shadow_process" in child.cmdline()
        ]
        process.kill()
        ask(served.url, files[1:3])
        assert wait_for(served.url, 3) == {"scored": 2, "dropped": 0, "failed": 1}
        (again,) = [
            child
            for child in psutil.Process(served.process.pid).children(recursive=True)
            if "service.serving.shadow_process" in child.cmdline()
        ]
    assert not again.is_running()


@pytest.mark.parametrize("program", ["cxr", "bentoml"])
def test_a_damaged_shadow_ends_the_start(demo_bundle, tmp_path, monkeypatch, program):
    """Both ways to start refuse it and name the setting and the file."""
    copy = Path(shutil.copytree(demo_bundle, tmp_path / "next"))
    (copy / "network.onnx").write_bytes(b"short")
    monkeypatch.setenv("CXR_BUNDLE", str(demo_bundle))
    monkeypatch.setenv("CXR_SHADOW", str(copy))
    monkeypatch.setenv("CXR_MONITORING_LOG", str(tmp_path / "numbers"))
    service = [] if program == "cxr" else ["service:ChestRadiographs"]
    done = subprocess.run(
        [Path(sys.executable).with_name(program), "serve", *service],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "CXR_SHADOW: " in said
    assert "network.onnx has 5 bytes" in said
