"""A model bundle on disk: its manifest and the verification of its files."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import BundleRefused
from service.settings import Precision, RuntimeName

FORMAT = 2
"""Version of the manifest's own layout; a service reads exactly the one it knows. Since 2 the
graphs have the output `features`, and there may be a reference."""

MANIFEST = "manifest.json"
OUTPUTS = 18
"""Outputs of TorchXRayVision's networks, named or not."""

DEPTHS = (512, 1024, 1024)
"""Channels of the features behind the last three dense blocks."""

FEATURES = sum(DEPTHS)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(_Record):
    """Size and digest of one file of the bundle."""

    bytes: int
    sha256: str


class WeightsRecord(_Record):
    """Where the weights came from."""

    name: str
    source: str
    sha256: str
    licence: str
    demo: bool
    training_ages: tuple[int, int] | None = Field(
        None, description="Youngest and oldest age in years that the weights were trained on."
    )


class Variant(_Record):
    """One way to run the network, proven against the library's eager network."""

    name: str
    runtime: RuntimeName
    precision: Precision
    files: tuple[str, ...]
    golden_tolerance: float = Field(
        description="Largest |probability difference| that the golden pair may show at start-up."
    )
    needs: Literal["avx2", "vnni", "bf16"] | None = Field(
        default=None, description="Instruction set that the processor must have."
    )


class MachineRecord(_Record):
    """The machine that a measurement was made on."""

    processor: str
    instructions: tuple[str, ...]
    threads: int


class Measurement(_Record):
    """How fast one variant ran at one batch size."""

    variant: str
    batch: int
    images_per_second: float
    milliseconds: float = Field(description="Median time of one run.")


class SpeedTable(_Record):
    """Variants measured side by side on one machine."""

    machine: MachineRecord
    measurements: tuple[Measurement, ...]


class Golden(_Record):
    """One input with the library's own output for it."""

    file: str
    sha256_logits: str = Field(description="Digest of the expected logits, for people to compare.")


class Manifest(_Record):
    """The manifest of a bundle."""

    format: int
    name: str
    version: str
    created: str
    architecture: str
    labels: tuple[str, ...]
    operating_points: tuple[float | None, ...]
    input: dict[str, object]
    outputs: dict[str, object]
    weights: WeightsRecord
    files: dict[str, FileRecord]
    measured: tuple[str, ...] = Field(
        (), description="Files that another machine writes otherwise, left out of the version."
    )
    variants: tuple[Variant, ...]
    chosen: str
    ranking: tuple[str, ...] = Field(
        description="Variants that may be chosen, fastest first; where one cannot run, the next."
    )
    kept_out: dict[str, str] = Field(
        default_factory=dict, description="Variants that were not published, and why."
    )
    speed: SpeedTable | None = Field(
        default=None, description="Measured where the bundle was exported."
    )
    explainer: str = Field(description="TorchScript file that heat maps are computed from.")
    reference: str | None = Field(
        default=None, description="File of the reference that images are held against."
    )
    golden: Golden
    tools: dict[str, str]

    def thresholds(self) -> tuple[float, ...]:
        """Operating points as numbers, NaN where none is published."""
        return tuple(math.nan if point is None else point for point in self.operating_points)

    def named(self) -> tuple[str, ...]:
        """The pathologies that these weights name, in the order of the outputs."""
        return tuple(label for label in self.labels if label)

    def variant(self, runtime: str | None = None, precision: str | None = None) -> Variant:
        """The chosen variant, or the first that has the runtime and the precision asked for.

        Raises:
            BundleRefused: No published variant fits; the message lists those that exist.
        """
        if runtime is None and precision is None:
            return next(v for v in self.variants if v.name == self.chosen)
        for variant in self.variants:
            if runtime in (None, variant.runtime) and precision in (None, variant.precision):
                return variant
        known = ", ".join(v.name for v in self.variants)
        wanted = "-".join(part for part in (runtime, precision) if part)
        raise BundleRefused(f"the bundle has no variant {wanted}; it has {known}")


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest was read and whose files were verified."""

    folder: Path
    manifest: Manifest

    def path(self, name: str) -> Path:
        return self.folder / name

    def golden_pair(self) -> tuple[np.ndarray, np.ndarray]:
        """The golden input, float32 (N, 1, 224, 224), and the library's logits, (N, 18)."""
        with np.load(self.path(self.manifest.golden.file), allow_pickle=False) as pair:
            return pair["pixels"], pair["logits"]


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def bundle_version(
    weights_sha256: str, files: dict[str, FileRecord], measured: Collection[str] = ()
) -> str:
    """Name a bundle by its content, in 12 digits.

    Args:
        weights_sha256: Digest of the weights.
        files: All files.
        measured: Those of them that do not count, because no answer depends on them.
    """
    counted = sorted(set(files).difference(measured))
    lines = [weights_sha256, *(f"{name} {files[name].sha256}" for name in counted)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest and check its consistency.

    Raises:
        BundleRefused: There is none, or it is not one that this service reads.
    """
    path = folder / MANIFEST
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleRefused(
            f"{path} does not exist; `cxr export --weights demo` makes the demo bundle, and "
            "--bundle or CXR_BUNDLE names another"
        ) from error
    except (OSError, ValueError) as error:
        raise BundleRefused(f"{path} cannot be read: {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else None
        raise BundleRefused(
            f"{path} has layout {found}; this service reads layout {FORMAT}: export it again"
        )
    try:
        manifest = Manifest.model_validate(record)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise BundleRefused(f"{path}: {where}: {fault['msg']}") from error
    _hold_together(manifest, path)
    return manifest


def _hold_together(manifest: Manifest, path: Path) -> None:
    """Raise BundleRefused where the parts of a manifest disagree."""
    if not len(manifest.labels) == len(manifest.operating_points) == OUTPUTS:
        raise BundleRefused(f"{path}: {OUTPUTS} labels and operating points are needed")
    known = {variant.name for variant in manifest.variants}
    if manifest.chosen not in known:
        raise BundleRefused(f"{path}: the chosen variant {manifest.chosen} is not in the bundle")
    if strangers := sorted(set(manifest.ranking) - known):
        raise BundleRefused(f"{path}: the ranked variant {strangers[0]} is not in the bundle")
    needed = {manifest.explainer, manifest.golden.file}
    if manifest.reference is not None:
        needed.add(manifest.reference)
    needed.update(name for variant in manifest.variants for name in variant.files)
    if missing := sorted(needed - set(manifest.files)):
        raise BundleRefused(f"{path}: no digest is recorded for {missing[0]}")
    if any(Path(name).name != name for name in manifest.files):
        raise BundleRefused(f"{path}: a file lies outside the bundle")
    if served := needed.intersection(manifest.measured):
        raise BundleRefused(f"{path}: {sorted(served)[0]} is served and not counted in the version")
    version = bundle_version(manifest.weights.sha256, manifest.files, manifest.measured)
    if version != manifest.version:
        raise BundleRefused(
            f"{path}: the version is {manifest.version}, but these weights and files "
            f"make {version}: the manifest was changed or belongs to other weights"
        )


def open_bundle(folder: Path) -> Bundle:
    """Read a bundle and verify the size and digest of every file that its manifest names.

    Raises:
        BundleRefused: The message names the file that is missing, short or changed.
    """
    manifest = read_manifest(folder)
    for name, record in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleRefused(f"{path} is missing")
        size = path.stat().st_size
        if size != record.bytes:
            raise BundleRefused(f"{path} has {size} bytes, not {record.bytes}: it is truncated")
        if sha256_file(path) != record.sha256:
            raise BundleRefused(f"{path} is not the file that was published: its SHA-256 differs")
    return Bundle(folder, manifest)
