"""What a card is about: a bundle, or weights by name alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.card import demo, official, unknown
from export.card.facts import Facts
from export.errors import CardRefused
from export.evaluation.training_sets import DEMO, TRAINED_ON, trained_on
from service.network.bundle import Bundle, Manifest, open_bundle
from service.network.reference import ReferenceRecord, load_reference
from service.network.site import SiteFile, open_site


@dataclass(frozen=True)
class Subject:
    """Weights, with the bundle made of them where there is one.

    Attributes:
        name: Of the weights.
        licence: One line.
        sha256: Of the weights' file; None where nobody published it.
        operating_points: Named finding to probability, None where none is published.
        trained_on: Collections; None where that is not known.
        facts: What their makers say.
        manifest: Of the bundle.
        parity: The bundle's parity.json.
        reference: What images are held against; None where nothing was fitted.
        site: What was fitted to the site where it is used; None where nothing was.
    """

    name: str
    licence: str
    sha256: str | None
    operating_points: dict[str, float | None]
    trained_on: tuple[str, ...] | None
    facts: Facts
    manifest: Manifest | None = None
    parity: dict[str, Any] | None = None
    reference: ReferenceRecord | None = None
    site: SiteFile | None = None


def of_bundle(folder: Path, site: Path | None = None) -> Subject:
    """The weights of a bundle that was verified file by file, with its site file if there is one.

    Raises:
        SiteRefused: The site file is damaged, changed or of another bundle.
        BundleRefused: It is missing, damaged or not what it says.
        CardRefused: Its parity.json cannot be read.
    """
    bundle: Bundle = open_bundle(folder)
    manifest = bundle.manifest
    return Subject(
        name=manifest.weights.name,
        licence=manifest.weights.licence,
        sha256=manifest.weights.sha256,
        operating_points={
            label: point
            for label, point in zip(manifest.labels, manifest.operating_points, strict=True)
            if label
        },
        trained_on=trained_on(manifest.weights.name),
        facts=_facts(manifest.weights.name),
        manifest=manifest,
        parity=_parity(bundle),
        reference=_reference(bundle),
        site=open_site(site, manifest).file if site else None,
    )


def by_name(name: str) -> Subject:
    """Weights of which only the name is needed; needs TorchXRayVision for its operating points.

    Raises:
        CardRefused: It is neither "demo" nor an official name.
    """
    if name not in TRAINED_ON:
        raise CardRefused(f'"{name}" is none of {", ".join(TRAINED_ON)}')
    sha256: str | None
    reference = None
    if name == DEMO:
        from export.checkpoints.weights import DEMO_REFERENCE, load_demo

        weights = load_demo()
        reference = load_reference(DEMO_REFERENCE, weights.sha256).record
        licence, sha256 = weights.licence, weights.sha256
        labels, points = weights.labels, weights.operating_points
    else:
        from export.checkpoints.upstream import OFFICIAL
        from export.checkpoints.weights import OFFICIAL_LICENCE

        known = OFFICIAL[name]
        licence, sha256 = OFFICIAL_LICENCE, known.sha256
        labels, points = known.labels, known.operating_points
    return Subject(
        name=name,
        licence=licence,
        sha256=sha256,
        operating_points={
            label: None if point != point else point  # noqa: PLR0124  NaN: none is published
            for label, point in zip(labels, points, strict=True)
            if label
        },
        trained_on=trained_on(name),
        facts=_facts(name),
        reference=reference,
    )


def _facts(name: str) -> Facts:
    if name == DEMO:
        return demo.facts()
    return official.facts(name) if name in TRAINED_ON else unknown.FACTS


def _reference(bundle: Bundle) -> ReferenceRecord | None:
    manifest = bundle.manifest
    if manifest.reference is None:
        return None
    return load_reference(bundle.path(manifest.reference), manifest.weights.sha256).record


def _parity(bundle: Bundle) -> dict[str, Any] | None:
    if "parity.json" not in bundle.manifest.files:
        return None
    try:
        found = json.loads(bundle.path("parity.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise CardRefused(f"{bundle.path('parity.json')} cannot be read: {error}") from error
    return found if isinstance(found, dict) else None
