"""How small a p-value must be: from windows of the reference, in which nothing drifts."""

from __future__ import annotations

import numpy as np

from export.errors import LogRefused
from export.monitoring.comparison import compare, least
from export.monitoring.table import Numbers

WINDOWS = 500
FEWEST = 2
"""How many times as many rows as the window the reference has at the least."""


def threshold(
    reference: Numbers, rows: int, false_alarm_rate: float, windows: int = WINDOWS
) -> float:
    """The adjusted p-value that as large a share of windows without drift reaches.

    A window of the reference is drawn without replacement and compared with the rest of it. Tests
    of several columns depend on each other, and chi-squared is not exact for rare categories:
    what the simulation says holds all the same, as far as images of the reference come
    independently of one another.

    Args:
        reference: Rows of then.
        rows: Of a window.
        false_alarm_rate: In (0, 1), of windows.
        windows: That are drawn, with a fixed seed.

    Raises:
        LogRefused: The reference has too few rows for windows of the size, or the rate is too
            small to be seen in so few windows.
    """
    if reference.rows < FEWEST * rows:
        raise LogRefused(
            f"the reference has {reference.rows} rows; for a window of {rows} rows "
            f"{FEWEST * rows} are needed"
        )
    if false_alarm_rate * windows < 1:
        raise LogRefused(
            f"a false alarm rate of {false_alarm_rate:g} does not show in {windows} windows: "
            f"{int(np.ceil(1 / false_alarm_rate))} are needed"
        )
    draw = np.random.default_rng(0)
    found = np.sort(
        [_least(reference, draw.permutation(reference.rows), rows) for _ in range(windows)]
    )
    # With this many at or under it, a new window is as well with no more than the rate's chance.
    place = int(np.floor(false_alarm_rate * (windows + 1))) - 1
    return float(found[max(place, 0)])


def _least(reference: Numbers, order: np.ndarray, rows: int) -> float:
    window, rest = reference.taken(order[:rows]), reference.taken(order[rows:])
    return least(compare(rest, window))
