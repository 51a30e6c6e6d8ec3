"""What rows depend on; a restart continues only where all of it is unchanged."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import service
from service.archive.listing import Listing
from service.network.predictor import Predictor
from service.settings import Settings

LAYOUT = 3
"""Version of the columns and of the journal; one of another is not continued."""

SHARD = 128
"""Files of a shard where nothing else is said: what a crash may cost, about two seconds of work on
two cores."""


_FILES = ("files", "files_sha256")


@dataclass(frozen=True)
class Pins:
    """What a row depends on, the number of threads and machines not among it.

    Attributes:
        software: Version of this package, and a digest of its code.
        layout: `LAYOUT`.
        form: Format of the results.
        target: The finding that structured reports are about; None where none are written.
        model: Name of the bundle.
        model_version: Names the bundle's content.
        runtime: What runs the network.
        precision: Of the variant.
        site: Digest of the site file; None without one.
        device: What it runs on.
        max_batch: Files whose images are run at once.
        shard: Files of a shard.
        limits: What a file may ask for.
        voi_lut: Whether a DICOM file's VOI LUT is applied.
        framing: How an image becomes the network's square.
        trim_border: Whether a border that is certain is cut off.
        body_part: What becomes of a DICOM file that names another body part than the chest.
        gate: What becomes of images that are far from the reference.
        reference: Digest of the reference; None where there is none.
        files: How many are listed.
        files_sha256: Digest of the list: names, sizes and modification times, in order.
    """

    software: str
    layout: int
    form: str
    target: str | None
    model: str
    model_version: str
    runtime: str
    precision: str
    site: str | None
    device: str
    max_batch: int
    shard: int
    limits: dict[str, Any]
    voi_lut: bool
    framing: str
    trim_border: bool
    body_part: str
    gate: str
    reference: str | None
    files: int
    files_sha256: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def differences(self, kept: dict[str, Any]) -> list[str]:
        """Everything but the files that kept pins have otherwise, in words."""
        mine = self.as_json()
        return [
            f"{name.replace('_', ' ')}: {kept.get(name, 'not said')} then, {mine[name]} now"
            for name in mine
            if name not in _FILES and kept.get(name) != mine[name]
        ]

    def has_files_of(self, kept: dict[str, Any]) -> bool:
        """Whether kept pins are of the same files, as they are now and in the same order."""
        mine = self.as_json()
        return all(kept.get(name) == mine[name] for name in _FILES)


@cache
def software_version() -> str:
    """The version of this package and a digest of its Python files.

    The version alone does not change when a checkout does.
    """
    folder = Path(service.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        code = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(code)}\n".encode())
        digest.update(code)
    return f"{service.__version__}+{digest.hexdigest()[:12]}"


def pin(
    predictor: Predictor,
    settings: Settings,
    listing: Listing,
    form: str,
    target: str | None,
    shard: int = SHARD,
) -> Pins:
    """The pins of a run; `shard` is made whole batches, so that a restart batches as before."""
    model = predictor.model
    return Pins(
        software=software_version(),
        layout=LAYOUT,
        form=form,
        target=target,
        model=model.name,
        model_version=model.version,
        runtime=model.runtime,
        precision=model.precision,
        site=predictor.site.reference.sha256 if predictor.site else None,
        device=settings.device,
        max_batch=settings.max_batch,
        shard=-(-shard // settings.max_batch) * settings.max_batch,
        limits=asdict(predictor.reader.limits),
        voi_lut=predictor.reader.voi,
        framing=predictor.reader.framing,
        trim_border=predictor.reader.trim_border,
        body_part=predictor.reader.body_part,
        gate=predictor.gate.action,
        reference=predictor.gate.reference.sha256 if predictor.gate.reference else None,
        files=listing.count,
        files_sha256=listing.sha256,
    )
