"""Ranking the passed variants by speed on the exporting machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from export.bundle.variants import PREFERENCE
from service.network.bundle import SpeedTable, Variant
from service.network.runtime import load_runtime
from service.network.runtime.machine import missing_instructions
from service.network.variant_speed import measure, rank, table_of

SECONDS = 0.25
"""A turn of each variant at each batch size; the export has a minute for everything."""


def autotune(
    folder: Path, variants: Sequence[Variant], report: Callable[[str], None]
) -> tuple[SpeedTable, tuple[str, ...]]:
    """Measure variants side by side.

    Args:
        folder: Where their files are.
        variants: Those that may be chosen.
        report: Told of each figure.

    Returns:
        The table of those that this processor has the instructions for, and all variants' names,
        fastest overall first.
    """
    here = [variant for variant in variants if not missing_instructions(variant.needs)]
    if any(variant.precision == "int8" for variant in here):
        # The same products on the same instructions: only noise could rank it first.
        here = [variant for variant in here if variant.precision != "int8w7"]
    runtimes = {variant.name: load_runtime(folder, variant) for variant in here}
    table = table_of(measure(runtimes, seconds=SECONDS))
    for row in table.measurements:
        report(f"{row.variant}, batch {row.batch}: {row.images_per_second:.1f} images/s")
    return table, with_unmeasured(rank(table.measurements), [variant.name for variant in variants])


def with_unmeasured(ranking: Sequence[str], names: Collection[str]) -> tuple[str, ...]:
    """Put variants that were not measured into a ranking, in their place by `PREFERENCE`.

    Args:
        ranking: Names of those that were measured, fastest first.
        names: All names.

    Returns:
        All names: each that is new stands right behind the one that is preferred to it, or before
        all others.
    """
    complete = list(ranking)
    preferred = [name for name in PREFERENCE if name in names]
    for name in preferred:
        if name in complete:
            continue
        behind = [one for one in preferred[: preferred.index(name)] if one in complete]
        at = complete.index(behind[-1]) + 1 if behind else 0
        complete.insert(at, name)
    return tuple(complete)
