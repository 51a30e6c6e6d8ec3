"""Exposure of real radiographs, beside the limits that `service.radiograph.exposure` has.

    CXR_XRAYS=FOLDER python -m bench.exposure

The limits were set on `calibration`; `dev` and the adults of `other` judge them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from service.errors import Unprocessable
from service.radiograph import exposure
from service.radiograph.decode import decode
from service.radiograph.exposure import Exposure, measure, require_contrast
from service.radiograph.preprocess import preprocess
from service.radiograph.radiograph import Radiograph

GROUPS = {
    "calibration": ("calibration/NORMAL", "calibration/PNEUMONIA"),
    "dev": ("dev/NORMAL", "dev/PNEUMONIA"),
    "adults": ("other/adult-normal", "other/adult-frontal"),
}


def radiographs(folder: Path, group: str) -> Iterator[Radiograph]:
    """Decode the radiographs of a group."""
    for name in GROUPS[group]:
        for path in sorted((folder / name).iterdir()):
            yield decode(path.read_bytes())


def measured(radiograph: Radiograph) -> Exposure:
    return measure(radiograph, preprocess(radiograph).geometry.seen)


def refused(found: Exposure) -> bool:
    try:
        require_contrast(found)
    except Unprocessable:
        return True
    return False


def levels(found: dict[str, list[Exposure]], console: Console) -> None:
    """Print the extremes of each group's levels and how many of it are refused."""
    table = Table("group", "images", "mean", "1 %", "99 %", "span", "refused")
    for group, each in found.items():
        columns = [[getattr(one, name) for one in each] for name in ("mean", "low", "high", "span")]
        table.add_row(
            group,
            str(len(each)),
            *(f"{min(column):.3f} to {max(column):.3f}" for column in columns),
            str(sum(map(refused, each))),
        )
    console.print(table)


def sampling(every: list[Radiograph], console: Console) -> None:
    """Print how far a sample of four times the rows and columns moves the two percentiles."""
    few = np.array([(one.low, one.high) for one in map(measured, every)])
    usual = exposure._SAMPLES
    exposure._SAMPLES = 4 * usual
    try:
        many = np.array([(one.low, one.high) for one in map(measured, every)])
    finally:
        exposure._SAMPLES = usual
    moved = np.abs(few - many).max(axis=1)
    console.print(
        f"Four times the samples move a percentile by more than 0.02 in {(moved > 0.02).sum()} of "
        f"{len(moved)} radiographs, by {moved.max():.3f} at the most."
    )


def main() -> None:
    folder, console = Path(os.environ["CXR_XRAYS"]), Console(width=110)
    every = {group: list(radiographs(folder, group)) for group in GROUPS}
    levels({group: [measured(one) for one in group_] for group, group_ in every.items()}, console)
    sampling([one for group in every.values() for one in group], console)


if __name__ == "__main__":
    main()
