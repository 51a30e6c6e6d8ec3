"""Starting the service, or refusing to."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


@pytest.fixture
def damaged(demo_bundle, tmp_path) -> Path:
    """A bundle with one flipped byte in its graph."""
    copy = tmp_path / "bundle"
    shutil.copytree(demo_bundle, copy)
    graph = copy / "network.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    return copy


@pytest.mark.parametrize(
    "command",
    [["cxr", "serve"], ["bentoml", "serve", "service:ChestRadiographs"]],
    ids=["cxr", "bentoml"],
)
def test_a_damaged_bundle_ends_the_start(damaged, monkeypatch, command):
    """Both ways to start refuse a damaged bundle with an exit status and name the file."""
    monkeypatch.setenv("CXR_BUNDLE", str(damaged))
    program, *arguments = command
    done = subprocess.run(
        [BIN / program, *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1
    assert "network.onnx is not the file that was published" in done.stdout + done.stderr


def test_a_missing_bundle_says_how_to_make_one(monkeypatch, tmp_path):
    """Without a bundle the service does not start and says which command makes one."""
    monkeypatch.setenv("CXR_BUNDLE", str(tmp_path / "none"))
    done = subprocess.run(
        [BIN / "cxr", "serve"], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1
    assert "`cxr export --weights demo` makes the demo bundle" in done.stderr


def test_a_bad_setting_is_refused_by_its_key(monkeypatch):
    """A setting with a value that is not allowed ends the start and is named."""
    monkeypatch.setenv("CXR_THREADS", "many")
    done = subprocess.run(
        [BIN / "cxr", "serve"], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1
    assert "CXR_THREADS" in done.stderr
