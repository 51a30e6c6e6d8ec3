"""Loading weights by name or file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from export.checkpoints import cache, checkpoint, labels
from export.checkpoints.checkpoint import Checkpoint
from export.checkpoints.upstream import OFFICIAL, Official
from export.errors import WeightsRefused

DEMO_CHECKPOINT = Path(__file__).resolve().parents[2] / "models" / "demo.safetensors"
DEMO_REFERENCE = DEMO_CHECKPOINT.with_name("demo.reference.npz")
DEMO_SHA256 = {
    "demo.safetensors": "3ca767d1e3b5df407569cfa7ace32d3acc2719b53c3d856c34da551cfd903195",
    "demo.json": "16c9d14a09138cfde04402967222bf64afe60b4c056612e348ee1a44b4322a1b",
}
OFFICIAL_LICENCE = "TorchXRayVision (Apache-2.0); the training data sets have terms of their own"
DEMO_AGES = (1, 5)
"""Ages in years of the children whose radiographs trained the demo weights."""


@dataclass(frozen=True, eq=False)
class Weights:
    """A verified checkpoint with its provenance.

    Attributes:
        name: "demo", an official name, or the file's name without its suffix.
        source: Where they come from.
        url: Where they were published, None for those that were not.
        licence: The terms, one line.
        sha256: Hex digest of the original file, before any conversion.
        state: float32 tensors under TorchXRayVision's names, without `num_batches_tracked`.
        labels: 18, "" where these weights predict nothing.
        operating_points: 18 probabilities in (0, 1), NaN where there is none.
        demo: Whether they only serve to show the software.
        training_ages: Youngest and oldest patient they were trained on, in years; None where
            that is not known.
    """

    name: str
    source: Literal["demo", "official", "file"]
    url: str | None
    licence: str
    sha256: str
    state: Mapping[str, torch.Tensor]
    labels: tuple[str, ...]
    operating_points: tuple[float, ...]
    demo: bool = False
    training_ages: tuple[int, int] | None = None


def load_weights(
    spec: str,
    *,
    cache_dir: Path | None = None,
    sha256: str | None = None,
    trust_unknown_pickle: bool = False,
    labels_from: str | None = None,
) -> Weights:
    """Find, verify and read weights. A name goes before a file of the same name.

    Args:
        spec: "demo", one of the names in `export.checkpoints.upstream.OFFICIAL`, or a .pt, .pth or
            .safetensors file.
        cache_dir: Where downloads are kept; `export.checkpoints.cache.default_folder()` where
            left out.
        sha256: Hex digest that the original file must have; a file that has it is trusted.
        trust_unknown_pickle: Whether code that a file of unknown digest brings may run.
        labels_from: The official name whose labels and operating points a file shares.

    Raises:
        WeightsRefused: Unknown, damaged, not what was expected, or not trusted.
        DownloadFailed: Official weights are not here and could not be fetched.
    """
    sha256 = sha256.lower() if sha256 else None
    if labels_from is not None and labels_from not in OFFICIAL:
        raise WeightsRefused(f'"{labels_from}" is no official name: {", ".join(OFFICIAL)}.')
    if spec == "demo" or spec in OFFICIAL:
        if labels_from is not None:
            raise WeightsRefused(f"{spec} has labels of its own; --like is for files.")
        return load_demo(sha256=sha256) if spec == "demo" else _load_named(spec, cache_dir, sha256)
    if not Path(spec).is_file():
        names = ", ".join(("demo", *OFFICIAL))
        raise WeightsRefused(f'"{spec}" is no file and none of these names: {names}.')
    return load_file(Path(spec), sha256=sha256, trust=trust_unknown_pickle, like=labels_from)


def _load_named(name: str, cache_dir: Path | None, sha256: str | None) -> Weights:
    official = OFFICIAL[name]
    if sha256 and official.sha256 not in (None, sha256):
        raise WeightsRefused(f"{name} has the SHA-256 {official.sha256}, not {sha256}.")
    return load_official(
        replace(official, sha256=sha256 or official.sha256), cache_dir or cache.default_folder()
    )


def load_official(
    official: Official, cache_dir: Path, library_folder: Path | None = None
) -> Weights:
    """Published weights, from the cache or fetched; arguments and errors as `cache.obtain`."""
    read, digest = cache.obtain(official, cache_dir, library_folder)
    return _as_official(official, read, digest)


def load_file(
    path: Path, *, sha256: str | None = None, trust: bool = False, like: str | None = None
) -> Weights:
    """Weights from a user's file.

    A file whose digest is that of embedded or published weights is taken for what it is. For any
    other, labels and operating points come from the official weights named by `like`, from a
    JSON file of the same name beside it (`labels` and `op_threshs`, as models/demo.json), or
    from the file itself. Where two of these name labels, they must agree.

    Args:
        path: .pt, .pth (a state dict, or a whole pickled module) or .safetensors.
        sha256: Hex digest that it must have; then it is trusted.
        trust: Whether code that it brings along may run though its digest is not known.
        like: An official name.

    Raises:
        WeightsRefused: It does not fit, is not trusted, or names no labels or operating points.
    """
    data = checkpoint.read_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 not in (None, digest):
        raise WeightsRefused(
            f"{path} has the SHA-256 {digest}, expected {sha256}. It was not opened.",
            code="wrong_digest",
        )
    if digest == DEMO_SHA256["demo.safetensors"]:
        return load_demo()
    known = next((one for one in OFFICIAL.values() if one.sha256 == digest), None)
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        read = checkpoint.read_safetensors(data, path.name)
    elif suffix in checkpoint.TORCH_SUFFIXES:
        trusted = trust or sha256 is not None or known is not None
        read = checkpoint.read_torch(data, path.name, trusted=trusted)
    else:
        raise WeightsRefused(f"{path.name}: neither .safetensors, .pt nor .pth.")
    if known:
        return _as_official(known, read, digest)
    named, points = labels.of_file(path, read, OFFICIAL[like] if like else None)
    return Weights(
        name=_file_name(path),
        source="file",
        url=None,
        licence="not stated",
        sha256=digest,
        state=read.state,
        labels=named,
        operating_points=points,
    )


def _as_official(official: Official, read: Checkpoint, digest: str) -> Weights:
    return Weights(
        name=official.name,
        source="official",
        url=official.url,
        licence=OFFICIAL_LICENCE,
        sha256=digest,
        state=read.state,
        labels=official.labels,
        operating_points=official.operating_points,
    )


def _file_name(path: Path) -> str:
    """A name for a bundle: lower case letters, digits and -._, and not one that is taken."""
    name = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._") or "weights"
    return f"file-{name}" if name == "demo" or name in OFFICIAL else name


def load_demo(path: Path = DEMO_CHECKPOINT, *, sha256: str | None = None) -> Weights:
    """The embedded demonstration weights.

    Args:
        path: The checkpoint; its report lies beside it.
        sha256: Hex digest that the caller expects of the checkpoint.

    Raises:
        WeightsRefused: A file is missing or is not the one that belongs to this version.
    """
    pinned = DEMO_SHA256["demo.safetensors"]
    if sha256 not in (None, pinned):
        raise WeightsRefused(f"demo has the SHA-256 {pinned}, not {sha256}.")
    files = {part: path.with_suffix(part) for part in (".safetensors", ".json")}
    data = {part: checkpoint.read_bytes(file) for part, file in files.items()}
    for part, content in data.items():
        digest = hashlib.sha256(content).hexdigest()
        if digest != DEMO_SHA256["demo" + part]:
            raise WeightsRefused(
                f"{files[part]} has the SHA-256 {digest}, expected {DEMO_SHA256['demo' + part]}."
            )
    read = checkpoint.read_safetensors(data[".safetensors"], "demo")
    report = json.loads(data[".json"])
    return Weights(
        name="demo",
        source="demo",
        url=None,
        licence="Apache-2.0; trained on radiographs of Kermany et al. 2018 (CC BY 4.0)",
        sha256=pinned,
        state=read.state,
        labels=labels.parse_labels(report["labels"], "demo"),
        operating_points=labels.parse_operating_points(report["op_threshs"], "demo"),
        demo=True,
        training_ages=DEMO_AGES,
    )
