"""Ranking the passed variants by speed on the exporting machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from service.network.bundle import SpeedTable, Variant
from service.network.runtime import load_runtime
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
        The table, and the variants' names, fastest overall first.
    """
    runtimes = {variant.name: load_runtime(folder, variant) for variant in variants}
    table = table_of(measure(runtimes, seconds=SECONDS))
    for row in table.measurements:
        report(f"{row.variant}, batch {row.batch}: {row.images_per_second:.1f} images/s")
    return table, rank(table.measurements)
