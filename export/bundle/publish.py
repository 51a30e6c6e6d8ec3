"""Publishing a bundle atomically, in a folder and in BentoML's model store."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.network.bundle import MANIFEST, FileRecord, Manifest, sha256_file

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def staging(out: Path, name: str) -> Iterator[Path]:
    """A staging folder beside the bundle's; removed afterwards."""
    out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=out))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Size and digest of every file in the folder but the manifest."""
    return {
        path.name: FileRecord(bytes=path.stat().st_size, sha256=sha256_file(path))
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }


def publish(staged: Path, manifest: Manifest, out: Path) -> Path:
    """Write the manifest and put the staged folder in the bundle's place.

    Where a bundle is there already the two folders trade names in one system call, so that a
    crash at any moment leaves either the old bundle or the new one, never half of one.

    Returns:
        The published folder, `out / manifest.name`.
    """
    (staged / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    staged.chmod(0o755)
    _flush(staged)
    target = out / manifest.name
    if target.exists():
        _exchange(staged, target)
    else:
        staged.rename(target)
    return target


def _flush(folder: Path) -> None:
    """Flush every file to disk before the rename."""
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _exchange(one: Path, other: Path) -> None:
    """Exchange the names of two folders, atomically where Linux's `renameat2` can."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        call = None
    arguments = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if call is not None and call(*arguments) == 0:
        return
    # Other systems and some network file systems lack the call: two renames, and a moment
    # between them in which there is no bundle.
    aside = one.with_name(one.name + ".old")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def register(folder: Path, manifest: Manifest) -> str:
    """Copy a published bundle into BentoML's model store under an exact tag.

    Returns:
        The tag, `cxr-NAME:VERSION`; one that is there already is left as it is, because the
        version names its content.
    """
    import bentoml

    tag = bento_tag(manifest)
    try:
        bentoml.models.get(tag)
    except bentoml.exceptions.NotFound:
        labels = {"weights": manifest.weights.name, "demo": str(manifest.weights.demo).lower()}
        with bentoml.models.create(tag, module="", labels=labels) as model:
            shutil.copytree(folder, model.path, dirs_exist_ok=True)
    return tag


def bento_tag(manifest: Manifest) -> str:
    """The bundle's exact tag in BentoML's model store."""
    return f"cxr-{manifest.name.lower().replace('_', '-')}:{manifest.version}"
