"""The cache of published weights."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from export.checkpoints import checkpoint
from export.checkpoints.checkpoint import Checkpoint
from export.checkpoints.download import fetch
from export.checkpoints.upstream import LIBRARY_FOLDER, Official
from export.errors import DownloadFailed, WeightsRefused

RECORDS = "weights.lock.json"
"""File of the cache that records what every published file was when it was first used."""

log = logging.getLogger("cxr.export")


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/cxr-pneumonia`, or `~/.cache/cxr-pneumonia`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "cxr-pneumonia"


@dataclass(frozen=True)
class Record:
    """Size and digest of a published file at its first use.

    Attributes:
        url: Where it is published.
        size: Its bytes.
        sha256: Its hex digest.
        converted_sha256: Hex digest of the safetensors file made from it.
    """

    url: str
    size: int
    sha256: str
    converted_sha256: str


def obtain(
    official: Official, folder: Path, library_folder: Path | None = None
) -> tuple[Checkpoint, str]:
    """Get published weights from the cache, from the library's folder, or by download.

    The published file is a pickled module. Its digest is compared with the pinned one, or with
    the one recorded on first use, every time the file is looked at and before it is unpickled;
    that happens once, and the safetensors file written then is read from there on.

    Args:
        official: What is wanted.
        folder: The cache; made where missing.
        library_folder: Where TorchXRayVision keeps its own downloads.

    Returns:
        The checkpoint and the SHA-256 of the published file.

    Raises:
        DownloadFailed: It is not here and could not be fetched; the message says what to do.
        WeightsRefused: A file is not what it is expected to be, or the records are damaged.
    """
    places = (folder, library_folder or LIBRARY_FOLDER.expanduser())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock").acquire()
    except OSError as error:
        raise WeightsRefused(f"{folder} cannot be written: {error.strerror}.") from error
    with lock:
        records = _read_records(folder / RECORDS)
        record = records.get(official.filename)
        if record and official.sha256 not in (None, record.sha256):
            record = None  # of another file than the one that is pinned today
        sha256 = official.sha256 or (record.sha256 if record else None)
        found = [place / official.filename for place in places]
        original = next((path for path in found if path.is_file()), None)
        data = _verified(original, sha256) if original else None
        converted = folder / f"{official.name}.safetensors"
        if record and converted.is_file():
            safe = checkpoint.read_bytes(converted)
            if hashlib.sha256(safe).hexdigest() == record.converted_sha256:
                return checkpoint.read_safetensors(safe, official.name), record.sha256
            log.warning("%s was changed since it was written; it is made anew.", converted)
        if data is None:
            data = _fetched(official, folder, sha256, record)
        read = checkpoint.read_torch(data, official.name, trusted=True)
        safe = checkpoint.write_safetensors(read.state)
        _write(converted, safe)
        digest = hashlib.sha256(data).hexdigest()
        if sha256 is None:
            log.warning(
                "No digest is published for %s: recorded %s in %s.",
                *(official.filename, digest, folder / RECORDS),
            )
        records[official.filename] = Record(
            official.url, len(data), digest, hashlib.sha256(safe).hexdigest()
        )
        as_json = {name: asdict(known) for name, known in sorted(records.items())}
        _write(folder / RECORDS, (json.dumps(as_json, indent=2) + "\n").encode())
        return read, digest


def _verified(path: Path, sha256: str | None) -> bytes:
    data = checkpoint.read_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 not in (None, digest):
        raise WeightsRefused(
            f"{path} has the SHA-256 {digest}, expected {sha256}. It was not opened. Delete it "
            "to have it fetched again.",
            code="wrong_digest",
        )
    return data


def _fetched(official: Official, folder: Path, sha256: str | None, record: Record | None) -> bytes:
    target = folder / official.filename
    size = official.size or (record.size if record else None)
    try:
        fetch(official.url, target, size=size, sha256=sha256)
    except DownloadFailed as error:
        raise DownloadFailed(
            _instructions(official, target, error, size, sha256), **error.detail
        ) from error
    return _verified(target, sha256)


def _instructions(
    official: Official, target: Path, error: DownloadFailed, size: int | None, sha256: str | None
) -> str:
    kept = error.detail.get("kept", 0)
    lines = [
        f"{official.name} could not be downloaded: {error.message}.",
        *([f"{kept:,} bytes are kept; the next attempt goes on from there."] if kept else []),
        "Where there is a network, fetch this file:",
        f"  URL      {official.url}",
        f"  size     {f'{size:,} bytes' if size else 'not published'}",
        f"  SHA-256  {sha256 or 'not published; recorded when the file is first used'}",
        "and put it here, under this name, then run the same command again:",
        f"  {target}",
        f"  (or where TorchXRayVision keeps it: {LIBRARY_FOLDER / official.filename})",
        "Or use the weights that need no download, for demonstration only: --weights demo",
    ]
    return "\n".join(lines)


def _read_records(path: Path) -> dict[str, Record]:
    if not path.exists():
        return {}
    try:
        return {name: Record(**known) for name, known in json.loads(path.read_bytes()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise WeightsRefused(
            f"{path} is damaged. Delete it to have the digests of downloaded weights recorded anew."
        ) from error


def _write(path: Path, data: bytes) -> None:
    """Write so that a crash leaves the old file or the new one, never a part."""
    partial = path.with_name(path.name + ".new")
    partial.write_bytes(data)
    partial.replace(path)
