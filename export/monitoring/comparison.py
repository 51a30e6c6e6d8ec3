"""Whether one column differs between then and now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, ks_2samp, wasserstein_distance
from statsmodels.stats.multitest import multipletests

from export.monitoring.table import Numbers

BINS = 10
_HALF = 0.5
"""Added to counts of the stability index, which has no value where one is 0."""


@dataclass(frozen=True)
class ColumnTest:
    """A column's test.

    Attributes:
        column: Its name.
        kind: number, category or decision.
        statistic: Kolmogorov-Smirnov's D, or chi-squared.
        p_value: Of no difference.
    """

    column: str
    kind: str
    statistic: float
    p_value: float


def compare(then: Numbers, now: Numbers) -> list[ColumnTest]:
    """Test every column that both sides say anything of.

    Numbers by Kolmogorov and Smirnov's test; categories, decisions and whether a number is said at
    all by Pearson's chi-squared.
    """
    found = []
    for name, old in then.numbers.items():
        new = now.numbers[name]
        said = np.isfinite(old), np.isfinite(new)
        if not (said[0].all() and said[1].all()):
            found.append(_chi_squared(f"{name} is said", "decision", *said))
        if said[0].any() and said[1].any():
            test = ks_2samp(old[said[0]], new[said[1]], method="asymp")
            found.append(ColumnTest(name, "number", float(test.statistic), float(test.pvalue)))
    for name, old in then.categories.items():
        found.append(_chi_squared(name, "category", old, now.categories[name]))
    for name in then.findings:
        old, new = then.decisions[name], now.decisions[name]
        if not (old.any() or new.any()):  # neither has a site file
            old, new = then.positive[name], now.positive[name]
        found.append(_chi_squared(f"{name} decision", "decision", old, new))
    return found


def adjusted(tests: list[ColumnTest]) -> np.ndarray:
    """float64 (N,), p-values by Holm (1979, Scandinavian Journal of Statistics 6, 65-70)."""
    return np.asarray(multipletests([one.p_value for one in tests], method="holm")[1])


def least(tests: list[ColumnTest]) -> float:
    """The least of the adjusted p-values; it alone needs no sorting of the others."""
    return min(1.0, len(tests) * min(one.p_value for one in tests))


def stability(then: np.ndarray, now: np.ndarray) -> float:
    """Population stability index: the sum of (now - then) ln(now / then) over bins.

    Numbers are binned at the deciles of then; half an image is added to each bin.

    Args:
        then: Numbers as float, places as int or bool (N,).
        now: The same (M,).
    """
    if then.dtype.kind == "f":
        edges = np.unique(np.quantile(then, np.linspace(0, 1, BINS + 1)[1:-1]))
        then, now = np.searchsorted(edges, then), np.searchsorted(edges, now)
    kinds = np.union1d(then, now)
    shares = []
    for side in (then, now):
        counts = np.array([(side == kind).sum() for kind in kinds]) + _HALF
        shares.append(counts / counts.sum())
    old, new = shares
    return float(((new - old) * np.log(new / old)).sum())


def distance(then: np.ndarray, now: np.ndarray) -> float:
    """Wasserstein's distance between numbers, in standard deviations of then."""
    spread = float(then.std())
    return float(wasserstein_distance(then, now)) / spread if spread else 0.0


def _chi_squared(name: str, kind: str, old: np.ndarray, new: np.ndarray) -> ColumnTest:
    """Pearson's test of places, int or bool (N,) and (M,)."""
    kinds = int(max(old.max(), new.max())) + 1
    counts = np.stack([np.bincount(side.astype(int), minlength=kinds) for side in (old, new)])
    counts = counts[:, counts.any(axis=0)].astype(float)
    if counts.shape[1] == 1:
        return ColumnTest(name, kind, 0.0, 1.0)
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return ColumnTest(name, kind, statistic, float(chi2.sf(statistic, counts.shape[1] - 1)))
