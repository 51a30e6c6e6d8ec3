"""How the image is built, with engines that only write down what they are asked."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy/image/Dockerfile.j2"
TAG = "cxr-pneumonia:0.2.0-abc-def"

PACK = """#!/bin/sh
echo "$@" > {packed}
echo building
echo {tag}
"""
ENGINE = """#!/bin/sh
if [ "$1" = info ]; then exit {status}; fi
echo "{name} $*" > {asked}
echo "$BUILDAH_FORMAT" > {format}
"""


@dataclass
class Made:
    """What a run of `make image` did.

    Attributes:
        status: Of make.
        said: On standard output.
        packed: Options of the packing of the bento; None where it was not packed.
        asked: The engine's command line; None where none was asked.
        format: Of the image, as Podman and Buildah are told.
    """

    status: int
    said: str
    packed: str | None
    asked: str | None
    format: str | None


@pytest.fixture
def make_image(tmp_path):
    """Run `make image` where some engines are installed, by name and whether they answer."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for tool in ("sh", "tail"):
        (binaries / tool).symlink_to(shutil.which(tool))
    notes = {name: tmp_path / name for name in ("packed", "asked", "format")}

    def script(path: Path, text: str, **words: object) -> None:
        path.write_text(text.format(**words, **notes))
        path.chmod(0o755)

    script(tmp_path / "pack", PACK, tag=TAG)

    def run(engines: dict[str, bool], *variables: str) -> Made:
        for name, answers in engines.items():
            script(binaries / name, ENGINE, name=name, status=int(not answers))
        old = ("--old-file=models/demo/manifest.json", "--old-file=.venv/ready")
        done = subprocess.run(
            [shutil.which("make"), "image", f"PACK={tmp_path / 'pack'}", *old, *variables],
            cwd=ROOT,
            env={"PATH": str(binaries)},
            capture_output=True,
            text=True,
            check=False,
        )
        noted = {
            name: file.read_text().strip() if file.exists() else None
            for name, file in notes.items()
        }
        return Made(done.returncode, done.stdout, **noted)

    return run


@pytest.mark.parametrize(
    ("engines", "taken"),
    [
        ({"docker": True, "podman": True, "buildah": True}, "docker"),
        ({"docker": False, "podman": True, "buildah": True}, "podman"),
        ({"docker": False, "buildah": True}, "buildah"),
    ],
    ids=["docker", "docker without its daemon", "buildah alone"],
)
def test_the_first_engine_that_answers_builds(make_image, engines, taken):
    """Of Docker, Podman and Buildah the first that answers builds the context under the bento's
    tag, in the format that keeps the health check."""
    made = make_image(engines)
    assert made.status == 0
    assert made.packed == "--context build/context"
    assert made.asked.startswith(f"{taken} build --tag {TAG} ")
    assert made.asked.endswith(" build/context")
    assert made.format == "docker"


def test_an_engine_can_be_named(make_image):
    """ENGINE takes an engine although another answers too."""
    made = make_image({"docker": True, "podman": True}, "ENGINE=podman")
    assert made.asked.startswith("podman build ")


def test_without_an_engine_nothing_is_packed(make_image):
    """Where no engine answers, make fails, names those that were asked and what to do instead."""
    made = make_image({"docker": False})
    assert made.status == 2
    assert "None of these answers here: docker podman buildah." in made.said
    assert "'make context'" in made.said
    assert (made.packed, made.asked) == (None, None)


@pytest.mark.parametrize(
    ("variables", "no_index", "packed"),
    [
        ((), "PIP_NO_INDEX", "--context build/context"),
        (
            ("WHEELHOUSE=wheels",),
            "PIP_NO_INDEX=1",
            "--context build/context --wheelhouse wheels",
        ),
    ],
    ids=["an index", "a wheelhouse"],
)
def test_pip_is_told_where_packages_are(make_image, variables, no_index, packed):
    """Indexes are taken from the environment; with a wheelhouse in the context, none is asked."""
    made = make_image({"docker": True}, *variables)
    given = re.findall(r"--build-arg (\S+)", made.asked)
    assert given == ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", no_index]
    declared = re.findall(r"^ARG (\w+)=$", DOCKERFILE.read_text(), re.MULTILINE)
    assert [name.partition("=")[0] for name in given] == declared
    assert made.packed == packed


def test_the_image_takes_nothing_of_the_context_but_by_the_first_stage():
    """Wheels are removed in the first stage, and the image takes all of the bento from there."""
    _, first, image = re.split(r"^FROM ", DOCKERFILE.read_text(), flags=re.MULTILINE)
    assert first.rstrip().endswith("RUN rm -rf /home/bentoml/bento/env/python/wheels")
    copied = re.findall(r"^COPY (.*)$", image, re.MULTILINE)
    assert copied == [
        "--from=packages /app/.venv /app/.venv",
        "--from=packages /home/bentoml/bento /home/bentoml/bento",
    ]
    assert re.search(r"^HEALTHCHECK .*\\\n +CMD ", image, re.MULTILINE)


def wheel(folder: Path, name: str) -> None:
    """Write the smallest wheel that pip installs."""
    information = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "",
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
        for path, text in files.items():
            file.writestr(path, text)


def test_packages_are_installed_from_a_folder_of_wheels(tmp_path):
    """The Dockerfile's own command installs what the context's folder of wheels has, and asks no
    index where it is told not to."""
    (command,) = re.findall(r"^RUN (python -m venv .*?[^\\])$", DOCKERFILE.read_text(), re.M | re.S)
    wheels = tmp_path / "python/wheels"
    wheels.mkdir(parents=True)
    wheel(wheels, "weighed")
    (tmp_path / "python/requirements.txt").write_text("weighed==1.0\n")
    for path in ("/app", "/tmp/python"):
        assert path in command
        command = command.replace(path, str(tmp_path / Path(path).name))
    given = {"PIP_NO_INDEX": "1", "PIP_INDEX_URL": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    given["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", command], env=os.environ | given, check=True)
    installed = tmp_path / "app/.venv/bin/python"
    subprocess.run([installed, "-c", "import weighed"], check=True)
