"""Whether two bundles decide the same images differently."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest, t, wilcoxon
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests

from export.evaluation.delong import Z95
from export.evaluation.operating_point import rate
from export.evaluation.records import Interval
from export.monitoring.records import PairedFinding, PairedTests
from export.monitoring.table import Pairs

_TESTS = tuple(PairedTests.model_fields)


def compare(pairs: Pairs, agreement: float, false_alarm_rate: float) -> tuple[PairedFinding, ...]:
    """Compare decisions and scores, finding by finding.

    Three tests a finding, adjusted by Holm over all of them: McNemar's exact test, whether as many
    decisions change one way as the other; the exact binomial test, whether fewer images than asked
    for get the same decision; Wilcoxon's signed-rank test of the scores. The first two say whether
    decisions differ.

    Args:
        pairs: Images that both have scored, two at the least.
        agreement: Share of the images that have to get the same decision.
        false_alarm_rate: Of all tests together.
    """
    tests = [_p_values(pairs, finding, agreement) for finding in pairs.findings]
    corrected = multipletests(np.ravel(tests), method="holm")[1].reshape(len(tests), -1)
    return tuple(
        _compared(
            pairs,
            finding,
            PairedTests(**dict(zip(_TESTS, own, strict=True))),
            PairedTests(**dict(zip(_TESTS, adjusted, strict=True))),
            false_alarm_rate,
        )
        for finding, own, adjusted in zip(pairs.findings, tests, corrected.tolist(), strict=True)
    )


def decisions(pairs: Pairs, finding: str) -> np.ndarray:
    """Images by the served decision and by the shadow's, positive first, int (2, 2)."""
    served, shadow = pairs.positive[finding], pairs.shadow_positive[finding]
    return np.array([[(served & shadow).sum(), (served & ~shadow).sum()],
                     [(~served & shadow).sum(), (~served & ~shadow).sum()]])  # fmt: skip


def _p_values(pairs: Pairs, finding: str, agreement: float) -> tuple[float, float, float]:
    table = decisions(pairs, finding)
    changed = int(table[0, 1] + table[1, 0])
    amount = binomtest(changed, pairs.rows, 1 - agreement, alternative="greater")
    scores = pairs.shadow_scores[finding] - pairs.scores[finding]
    return (
        float(mcnemar(table, exact=True).pvalue),
        float(amount.pvalue),
        float(wilcoxon(scores).pvalue) if scores.any() else 1.0,
    )


def _compared(
    pairs: Pairs, finding: str, own: PairedTests, adjusted: PairedTests, false_alarm_rate: float
) -> PairedFinding:
    table, images = decisions(pairs, finding), pairs.rows
    (both, served), (shadow, neither) = table.tolist()
    scores = pairs.shadow_scores[finding] - pairs.scores[finding]
    low, high = np.quantile(scores, [0.05, 0.95])
    return PairedFinding(
        finding=finding,
        both_positive=both,
        served_alone=served,
        shadow_alone=shadow,
        both_negative=neither,
        same_decision=rate(both + neither, images),
        kappa=_kappa(table),
        positive_served=rate(both + served, images),
        positive_shadow=rate(both + shadow, images),
        positive_difference=_share_difference(served, shadow, images),
        score_difference=_mean(scores),
        score_difference_low=float(low),
        score_difference_high=float(high),
        score_difference_largest=float(np.abs(scores).max()),
        p_values=own,
        adjusted=adjusted,
        decisions_differ=min(adjusted.direction, adjusted.amount) <= false_alarm_rate,
        scores_differ=adjusted.scores <= false_alarm_rate,
    )


def _kappa(table: np.ndarray) -> Interval:
    """Cohen's kappa; null where one of the two calls every image the same."""
    if not (table.any(axis=0).all() and table.any(axis=1).all()):
        return Interval()
    found = cohens_kappa(table)
    return Interval(
        value=float(found.kappa), low=float(found.kappa_low), high=float(found.kappa_upp)
    )


def _share_difference(served_alone: int, shadow_alone: int, images: int) -> Interval:
    """The shadow's share of positives less the served one's.

    Interval by Agresti and Min (2005, Statistics in Medicine 24, 729-740): Wald's, with half an
    image added to each of the four counts.
    """
    more, less, whole = shadow_alone + 0.5, served_alone + 0.5, images + 2
    middle = (more - less) / whole
    half = Z95 * float(np.sqrt(more + less - (more - less) ** 2 / whole)) / whole
    return Interval(
        value=(shadow_alone - served_alone) / images,
        low=max(middle - half, -1.0),
        high=min(middle + half, 1.0),
    )


def _mean(values: np.ndarray) -> Interval:
    """A mean with Student's interval."""
    middle = float(values.mean())
    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(value=middle, low=middle - half, high=middle + half)
