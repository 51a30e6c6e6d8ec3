"""What an installed package is made of."""

import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel of a copy of this tree, in which nothing was built before."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("service", "export", "bench", "tests", "deploy"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--wheel-dir", out]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, tree], check=True)
    (file,) = out.iterdir()
    return zipfile.ZipFile(file)


def test_a_wheel_holds_the_product_alone(wheel):
    """Installing the package installs service and export, and neither bench nor tests."""
    top = {name.partition("/")[0] for name in wheel.namelist()}
    (information,) = (name for name in top if name.endswith(".dist-info"))
    assert top == {"service", "export", information}


def test_a_wheel_holds_all_of_the_product(wheel):
    """Every module, template and file of the page of service and export is in the wheel."""
    files = {
        str(path.relative_to(ROOT))
        for package in ("service", "export")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"service/page/index.html", "export/card/commands.py"} < files
    assert files <= set(wheel.namelist())


def test_a_wheel_registers_no_command_of_what_it_lacks(wheel):
    """Every entry point of the wheel is a module that is in it."""
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    points = ConfigParser()
    points.read_string(wheel.read(name).decode())
    modules = [target.partition(":")[0] for group in points for target in points[group].values()]
    assert "service.cli" in modules
    for module in modules:
        assert f"{module.replace('.', '/')}.py" in wheel.namelist()
