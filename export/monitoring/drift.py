"""From two logs to a report."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone

import numpy as np

from export.errors import LogRefused
from export.evaluation.operating_point import rate
from export.evaluation.records import Rate
from export.monitoring.comparison import ColumnTest, adjusted, compare, distance, stability
from export.monitoring.estimate import estimate
from export.monitoring.records import Compared, FindingRates, Report, Side
from export.monitoring.table import DECISIONS, Numbers
from export.monitoring.windows import threshold
from service import __version__

_MOST_VALUES = 4
OTHER_MODEL = (
    "the bundles or site files that answered are not the same then and now: what differs may be "
    "the model and not the images"
)
INDEPENDENT = (
    "the false alarm rate holds where images come independently of one another; several images of "
    "a patient or of one list make false alarms more frequent"
)


def watch(then: Numbers, now: Numbers, false_alarm_rate: float, windows: int) -> Report:
    """Compare two logs.

    Args:
        then: The reference.
        now: The window that is looked at.
        false_alarm_rate: Share of windows without drift that may be called drifting.
        windows: Simulated windows that the threshold comes from.

    Raises:
        LogRefused: The logs are of different findings, or the reference has too few rows.
    """
    if then.findings != now.findings:
        raise LogRefused(
            f"{then.name} is of {', '.join(then.findings)}, and {now.name} of "
            f"{', '.join(now.findings)}"
        )
    limit = threshold(then, now.rows, false_alarm_rate, windows)
    tests = compare(then, now)
    corrected = adjusted(tests)
    order = sorted(range(len(tests)), key=lambda place: (tests[place].p_value, place))
    other_model = [OTHER_MODEL] if then.versions != now.versions else []
    return Report(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        software=__version__,
        then=Side(name=then.name, rows=then.rows, versions=then.versions),
        now=Side(name=now.name, rows=now.rows, versions=now.versions),
        false_alarm_rate=false_alarm_rate,
        threshold=limit,
        simulated_windows=windows,
        columns=tuple(
            _compared(tests[place], float(corrected[place]), limit, then, now) for place in order
        ),
        findings=tuple(_rates(finding, then, now) for finding in then.findings),
        warnings=(*other_model, INDEPENDENT),
    )


def _compared(
    test: ColumnTest, corrected: float, limit: float, then: Numbers, now: Numbers
) -> Compared:
    old, new = _values(test, then), _values(test, now)
    number = test.kind == "number"
    return Compared.model_validate(
        {
            "column": test.column,
            "kind": test.kind,
            "stability": stability(old, new),
            "statistic": test.statistic,
            "distance": distance(old, new) if number else None,
            "p_value": test.p_value,
            "adjusted": corrected,
            "drifts": corrected <= limit,
            "then": _words(old, _names(test, then)),
            "now": _words(new, _names(test, now)),
        }
    )


def _values(test: ColumnTest, side: Numbers) -> np.ndarray:
    """The column that was tested, without what is not said of a number."""
    if test.kind == "number":
        values = side.numbers[test.column]
        return values[np.isfinite(values)]
    if test.kind == "category":
        return side.categories[test.column]
    if test.column.endswith(" is said"):
        return np.isfinite(side.numbers[test.column.removesuffix(" is said")])
    finding = test.column.removesuffix(" decision")
    decisions = side.decisions[finding]
    return decisions if decisions.any() else side.positive[finding]


def _names(test: ColumnTest, side: Numbers) -> tuple[str, ...] | None:
    """What the places of a column mean; None where it has numbers."""
    if test.kind == "number":
        return None
    if test.kind == "category":
        return side.names(test.column)
    if test.column.endswith(" is said"):
        return ("no", "yes")
    decided = side.decisions[test.column.removesuffix(" decision")].any()
    return DECISIONS if decided else ("negative", "positive")


def _words(values: np.ndarray, names: tuple[str, ...] | None) -> str:
    if names is None:
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
        return f"median {middle:.4g}, 5 to 95 %: {low:.4g} to {high:.4g}"
    counts = Counter(names[value] for value in values.tolist())
    shares = [f"{name} {100 * count / len(values):.1f} %" for name, count in counts.most_common()]
    rest = [f"{len(shares) - _MOST_VALUES} more"] if len(shares) > _MOST_VALUES else []
    return ", ".join([*shares[:_MOST_VALUES], *rest])


def _rates(finding: str, then: Numbers, now: Numbers) -> FindingRates:
    sides = {"then": then, "now": now}
    found: dict[str, object] = {"finding": finding}
    for name, side in sides.items():
        positive, decisions = side.positive[finding], side.decisions[finding]
        found[f"positive_{name}"] = rate(int(positive.sum()), side.rows)
        found[f"uncertain_{name}"] = _uncertain(decisions)
        found[f"estimate_{name}"] = estimate(decisions, side.calibrated[finding])
    return FindingRates.model_validate(found)


def _uncertain(decisions: np.ndarray) -> Rate | None:
    said = decisions[decisions > 0]
    uncertain = int((said == DECISIONS.index("uncertain")).sum())
    return rate(uncertain, len(said)) if len(said) else None
