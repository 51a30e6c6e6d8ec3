"""Selecting the variant of a bundle that runs on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from service.errors import BundleRefused
from service.network.bundle import Manifest, Variant
from service.network.runtime import unavailable_reason
from service.settings import Device


@dataclass(frozen=True)
class Selection:
    """A variant that can run here.

    Attributes:
        variant: What to load.
        note: Why it is not the bundle's own choice; None where it is, or was asked for by name.
    """

    variant: Variant
    note: str | None = None


def select(
    manifest: Manifest,
    runtime: str | None = None,
    precision: str | None = None,
    device: Device = "cpu",
    failed: Mapping[str, str] = MappingProxyType({}),
) -> Selection:
    """Select the requested variant, or the fastest recorded one that can run here.

    A runtime or precision that was asked for is never replaced by another one. Without one, a
    processor that lacks an instruction set (or a device on which the choice cannot run) gets the
    next variant of the bundle's ranking, and the selection says so.

    Args:
        manifest: Of the bundle.
        runtime: That was asked for.
        precision: That was asked for.
        device: What to run on.
        failed: Variants that are not to be trusted here, with the reason.

    Raises:
        BundleRefused: No variant fits, or none of those that fit can run here.
    """
    asked = runtime is not None or precision is not None
    if asked:
        first = manifest.variant(runtime, precision)  # refuses what the bundle does not have
        fitting = [
            variant
            for variant in _ranked(manifest)
            if runtime in (None, variant.runtime) and precision in (None, variant.precision)
        ] or [first]
    else:
        fitting = _ranked(manifest)
    reasons: list[str] = []
    for variant in fitting:
        reason = failed.get(variant.name) or unavailable_reason(variant, device)
        if reason is None:
            note = None
            if reasons and not asked:
                note = f"{variant.name} instead of the bundle's choice: {reasons[0]}"
            return Selection(variant, note)
        reasons.append(f"{variant.name}: {reason}")
    raise BundleRefused("no variant of the bundle can run here: " + "; ".join(reasons))


def _ranked(manifest: Manifest) -> list[Variant]:
    """All variants: the chosen one, those that were ranked, the others."""
    order = [manifest.chosen, *manifest.ranking]
    place = {name: order.index(name) for name in order}
    return sorted(manifest.variants, key=lambda variant: place.get(variant.name, len(order)))
