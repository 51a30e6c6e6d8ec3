"""The page's plots as SVG; their colours are the page's, so that they follow it into the dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from export.evaluation.records import Calibration, Curves, Interval, Point

SIDE = 300
LEFT, BOTTOM, TOP, RIGHT = 46, 40, 12, 14
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
BAR = 150
"""Width of the small bars in tables."""


def roc(curves: Curves, points: Sequence[Point], label: str) -> str:
    """ROC curve with the cuts marked on it."""
    marks = []
    for index, point in enumerate(points):
        sensitivity, specificity = point.sensitivity.value, point.specificity.value
        if sensitivity is None or specificity is None:
            continue
        x, y = _x(1 - specificity), _y(sensitivity)
        marks.append(_mark(x, y, index, f"{point.name}: {sensitivity:.3f}, {specificity:.3f}"))
    body = _diagonal(0, 0, 1, 1) + _filled(curves.roc) + _line(curves.roc) + "".join(marks)
    return _frame(body, "1 - specificity", "sensitivity", f"ROC curve of {label}")


def precision_recall(curves: Curves, prevalence: float, label: str) -> str:
    """Precision-recall curve over the line that guessing reaches."""
    body = _diagonal(0, prevalence, 1, prevalence) + _line(curves.precision_recall)
    return _frame(body, "recall (sensitivity)", "precision (PPV)", f"Precision and recall, {label}")


def reliability(calibration: Calibration, label: str) -> str:
    """AccessLog share against mean probability, with Wilson intervals, sized by count."""
    total = sum(bin_.count for bin_ in calibration.bins)
    body = _diagonal(0, 0, 1, 1)
    path = [(bin_.mean_probability, bin_.observed.value or 0.0) for bin_ in calibration.bins]
    body += _line(path, "line thin")
    for bin_, (across, up) in zip(calibration.bins, path, strict=True):
        x, y = _x(across), _y(up)
        low, high = _y(bin_.observed.low or 0.0), _y(bin_.observed.high or 0.0)
        radius = 2.5 + 7 * (bin_.count / total) ** 0.5
        body += (
            f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">'
            f"<title>{bin_.count} images, mean probability {across:.3f}, observed {up:.3f}</title>"
            "</circle>"
        )
    return _frame(body, "probability", "observed share", f"Reliability curve of {label}")


def histogram(curves: Curves, cut: float | None, label: str) -> str:
    """Images by probability, those with the finding upwards, those without downwards."""
    up, down = curves.positive_probabilities, curves.negative_probabilities
    most = max(*up, *down, 1)
    middle, half = _y(0.5), (_y(0) - _y(1)) / 2
    width = (_x(1) - _x(0)) / len(up)
    body = ""
    for place, (shows, not_) in enumerate(zip(up, down, strict=True)):
        left = _x(0) + place * width + 0.5
        for count, kind in ((shows, "with"), (not_, "without")):
            height = half * count / most
            top = middle - height if kind == "with" else middle
            body += (
                f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{width - 1:.1f}" '
                f'height="{height:.1f}"><title>{count} {kind}</title></rect>'
            )
    if cut is not None:
        x = _x(cut)
        body += f'<line class="cut" x1="{x:.1f}" x2="{x:.1f}" y1="{_y(0):.1f}" y2="{_y(1):.1f}"/>'
    body += (
        f'<text class="inside" x="{_x(0.3):.0f}" y="{_y(1) + 16:.0f}">with the finding</text>'
        f'<text class="inside" x="{_x(0.3):.0f}" y="{_y(0) - 8:.0f}">without</text>'
    )
    # Counts grow both ways from the middle.
    ticks = [(at, f"{most * abs(2 * at - 1):g}") for at in TICKS]
    return _frame(body, "probability", "images", f"Probabilities of {label}", ticks)


def decision_curve(lines: Mapping[str, Sequence[tuple[float, float]]], label: str) -> str:
    """Net benefit by threshold; the space goes from a little below 0 to the highest line.

    Args:
        lines: Points (threshold, net benefit) by the line's class of style.
        label: The finding.
    """
    most = max((up for points in lines.values() for _, up in points), default=0.0) or 1.0
    least = -most / 4

    def at(up: float) -> float:
        return (max(up, least) - least) / (most - least)

    body = _diagonal(0, at(0), 1, at(0))
    for kind, points in lines.items():
        body += _line([(across, at(up)) for across, up in points], f"line {kind}")
    ticks = [(at(share * most), f"{share * most:.2f}") for share in (0, 0.5, 1)]
    return _frame(body, "threshold probability", "net benefit", f"Decision curve, {label}", ticks)


def interval_bar(interval: Interval, low: float, high: float, zero: float | None = None) -> str:
    """An estimate with its interval on a line from `low` to `high`, for a cell of a table."""
    if interval.value is None:
        return ""

    def at(value: float) -> float:
        return 5 + (BAR - 10) * (min(max(value, low), high) - low) / (high - low)

    lower = interval.value if interval.low is None else interval.low
    upper = interval.value if interval.high is None else interval.high
    line = "" if zero is None else f'<line class="zero" x1="{at(zero):.1f}" x2="{at(zero):.1f}"'
    line += "" if zero is None else ' y1="1" y2="15"/>'
    return (
        f'<svg class="bar" width="{BAR}" height="16" viewBox="0 0 {BAR} 16" aria-hidden="true">'
        f'<line class="rail" x1="5" x2="{BAR - 5}" y1="8" y2="8"/>{line}'
        f'<line class="whisker" x1="{at(lower):.1f}" x2="{at(upper):.1f}" y1="8" y2="8"/>'
        f'<circle class="dot" cx="{at(interval.value):.1f}" cy="8" r="4"/></svg>'
    )


def mark(index: int) -> str:
    """The mark of the index-th point, for the legend."""
    shape = _mark(7, 7, index, "")
    return f'<svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">{shape}</svg>'


def _frame(
    body: str,
    across: str,
    up: str,
    name: str,
    ticks_up: Sequence[tuple[float, str]] = (),
) -> str:
    left, right, bottom, top = _x(0), _x(1), _y(0), _y(1)
    grid, words = "", ""
    for at in TICKS:
        grid += f'<line class="grid" x1="{_x(at):.1f}" x2="{_x(at):.1f}" y1="{bottom}" y2="{top}"/>'
        words += f'<text class="x" x="{_x(at):.1f}" y="{bottom + 16}">{at:g}</text>'
    for at, word in ticks_up or [(at, f"{at:g}") for at in TICKS]:
        grid += f'<line class="grid" y1="{_y(at):.1f}" y2="{_y(at):.1f}" x1="{left}" x2="{right}"/>'
        words += f'<text class="y" x="{left - 7}" y="{_y(at) + 4:.1f}">{escape(word)}</text>'
    middle = (top + bottom) / 2
    return (
        f'<svg class="plot" viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{escape(name)}">'
        f'{grid}{body}<rect class="frame" x="{left}" y="{top}" width="{right - left}" '
        f'height="{bottom - top}"/>{words}'
        f'<text class="x name" x="{(left + right) / 2}" y="{bottom + 34}">{escape(across)}</text>'
        f'<text class="x name" transform="translate(12 {middle}) rotate(-90)">{escape(up)}</text>'
        "</svg>"
    )


def _x(value: float) -> float:
    return LEFT + value * (SIDE - LEFT - RIGHT)


def _y(value: float) -> float:
    return SIDE - BOTTOM - value * (SIDE - BOTTOM - TOP)


def _line(points: Sequence[tuple[float, float]], kind: str = "line") -> str:
    path = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{path}"/>'


def _filled(points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in (*points, (1.0, 0.0), (0.0, 0.0)))
    return f'<polygon class="under" points="{path}"/>'


def _diagonal(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line class="chance" x1="{_x(x1):.1f}" y1="{_y(y1):.1f}" x2="{_x(x2):.1f}" '
        f'y2="{_y(y2):.1f}"/>'
    )


def _mark(x: float, y: float, index: int, title: str) -> str:
    """Circle, square, triangle, diamond: told apart without colour."""
    size = 5.5
    shapes = (
        f'<circle class="mark m0" cx="{x:.1f}" cy="{y:.1f}" r="{size}">',
        f'<rect class="mark m1" x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9">',
        f'<path class="mark m2" d="M{x:.1f} {y - 6:.1f} l6 10.5 h-12 z">',
        f'<path class="mark m3" d="M{x:.1f} {y - 6.5:.1f} l6.5 6.5 l-6.5 6.5 l-6.5 -6.5 z">',
    )
    shape = shapes[index % len(shapes)]
    tag = shape[1 : shape.index(" ")]
    return f"{shape}<title>{escape(title)}</title></{tag}>"
