"""Packing a bundle and the code that serves it into one bento.

`python -m export.bento` copies service/ into a folder of its own, pins the bundle there, and has
BentoML build that folder: what is not needed to serve cannot get in, because it is not there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

import click

from export.bundle.publish import bento_tag, register
from service import __version__
from service.network.bundle import open_bundle
from service.settings import PINNED

ROOT = Path(__file__).resolve().parents[1]
NAME = "cxr-pneumonia"
BASE_IMAGE = "python:3.11.14-slim-bookworm"
"""An exact tag. A tag can be pushed again; give a digest where one is known to you."""

_LOCK = Path("deploy/requirements.lock")
_DOCKERFILE = Path("deploy/image/Dockerfile.j2")
_BENTOFILE = Path("bentofile.yaml")
_WHEELS = Path("env/python/wheels")
_NOT_SERVED = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True)
class Staged:
    """A folder that BentoML can build.

    Attributes:
        folder: The folder, with a bentofile.yaml in it.
        tag: Exact tag of the bento that it makes; named by the content.
        model: Exact tag of the model that is pinned.
    """

    folder: Path
    tag: str
    model: str


def stage(bundle_folder: Path, folder: Path, base_image: str = BASE_IMAGE) -> Staged:
    """Write everything that the bento is made of into a folder.

    Args:
        bundle_folder: A published bundle; it is verified.
        folder: Where to write; what is there is replaced.
        base_image: Image that the container is built from.

    Raises:
        BundleRefused: The bundle is not to be trusted.
    """
    manifest = open_bundle(bundle_folder).manifest
    model = bento_tag(manifest)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "service", folder / "service", ignore=_NOT_SERVED)
    (folder / "service" / PINNED).write_text(f"bento:{model}\n", encoding="utf-8")
    shutil.copy(ROOT / "LICENSE", folder)
    shutil.copy(ROOT / _LOCK, folder)
    write_sbom(folder / _LOCK.name, folder / "sbom.cdx.json")
    words = {"MODEL": model, "MODEL_PATH": model.replace(":", "/"), "BUNDLE": manifest.version}
    words["BASE_IMAGE"] = base_image
    # The version of what is packed is its content, templates included, not the hour of packing.
    content = _digest(folder, ROOT / _BENTOFILE, ROOT / _DOCKERFILE)
    words["VERSION"] = version = f"{__version__}-{manifest.version}-{content}"
    for template in (_BENTOFILE, _DOCKERFILE):
        text = Template((ROOT / template).read_text(encoding="utf-8")).safe_substitute(words)
        (folder / template.name).write_text(text, encoding="utf-8")
    return Staged(folder, f"{NAME}:{version}", model)


def _digest(folder: Path, *others: Path) -> str:
    """Eight digits that name the content of a folder and of other files."""
    found = hashlib.sha256()
    for path in [*sorted(path for path in folder.rglob("*") if path.is_file()), *others]:
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:8]


def write_sbom(lock: Path, out: Path) -> None:
    """Write the software bill of materials, CycloneDX 1.6, of the locked packages."""
    program = Path(sys.executable).with_name("cyclonedx-py")
    form = ["--output-format", "JSON", "--spec-version", "1.6", "--output-reproducible"]
    subprocess.run(  # noqa: S603 - our own interpreter's folder
        [program, "requirements", *form, "--output-file", out, lock], check=True
    )


def build(staged: Staged) -> Path:
    """Have BentoML build a staged folder, unless its store has that very bento.

    Returns:
        The bento's folder in the store.
    """
    import bentoml

    try:
        return Path(bentoml.get(staged.tag).path)
    except bentoml.exceptions.NotFound:
        pass
    with _inside(staged.folder):
        built = bentoml.bentos.build_bentofile(
            _BENTOFILE.name, version=staged.tag.partition(":")[2], build_ctx="."
        )
    return Path(built.path)


def write_context(tag: str, folder: Path, wheelhouse: Path | None = None) -> None:
    """Write a bento's whole build context, models and Dockerfile, for any image builder.

    Args:
        tag: Exact tag of the bento.
        folder: Where to write; what is there is replaced.
        wheelhouse: Folder of wheels for pip to find while the image is built; they are not part of
            the image.
    """
    import bentoml
    from bentoml._internal.container import construct_containerfile

    shutil.rmtree(folder, ignore_errors=True)
    folder = folder.absolute()
    with (
        _inside(Path(tempfile.gettempdir())),
        construct_containerfile(bentoml.get(tag), enable_buildkit=False) as (context, dockerfile),
    ):
        shutil.copytree(context, folder)
        # The temporary folder that it was made in is closed to others, and the copy took that over.
        folder.chmod(0o755)
        shutil.copy(dockerfile, folder / "Dockerfile")
    if wheelhouse is not None:
        wheels = folder / _WHEELS
        wheels.mkdir(exist_ok=True)
        for wheel in wheelhouse.glob("*.whl"):
            shutil.copy(wheel, wheels)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in a folder: BentoML 1.4.39 refuses a Dockerfile template that lies outside of it."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), default=ROOT / "models/demo")
@click.option("--base-image", default=BASE_IMAGE, show_default=True)
@click.option("--work", type=click.Path(path_type=Path), default=ROOT / "build/bento")
@click.option("--context", type=click.Path(path_type=Path), help="Also write the image's context.")
@click.option(
    "--wheelhouse",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of wheels to put into the context for pip.",
)
def main(
    bundle: Path, base_image: str, work: Path, context: Path | None, wheelhouse: Path | None
) -> None:
    """Build the bento of a bundle; its tag is the last line on standard output."""
    register(bundle, open_bundle(bundle).manifest)
    staged = stage(bundle, work, base_image)
    folder = build(staged)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    click.echo(f"{size / 1e6:.1f} MB in {folder}, model {staged.model} beside it", err=True)
    if context is not None:
        write_context(staged.tag, context, wheelhouse)
        click.echo(f"build context in {context}", err=True)
    click.echo(staged.tag)


if __name__ == "__main__":
    main()
