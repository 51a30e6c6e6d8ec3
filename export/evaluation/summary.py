"""What the terminal shows of a report."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from export.evaluation.page import VERDICTS, figure, interval, p_value
from export.evaluation.records import Finding, Interval, Report

MOST_REFUSED = 10


def print_summary(report: Report, out: Path, console: Console) -> None:
    """Print the figures that matter, and where the rest is."""
    model, target = report.model, report.target
    console.print(
        f"[bold]{escape(target.label)}[/] on {escape(report.data.name)}: {target.images} images, "
        f"{target.positives} with the finding; {escape(model.bundle)} {model.version} on "
        f"{model.variant}"
    )
    console.print(_findings(report))
    if target.points:
        console.print(_points(target))
    if (site := target.site) and report.site:
        point = site.point
        console.print(
            f"By the site file {report.site.sha256[:12]}: sensitivity "
            f"{figure(point.sensitivity.value)} ({interval(point.sensitivity)}), specificity "
            f"{figure(point.specificity.value)} ({interval(point.specificity)}) over "
            f"{point.probability:.4f}; ECE {figure(site.calibration.expected_error)}; uncertain "
            f"{figure(site.uncertain.value)}; decided wrongly {figure(site.missed.value)} of those "
            f"with the finding, {figure(site.false_alarms.value)} of those without"
        )
    if report.comparisons:
        console.print(_comparisons(report))
    for one in report.refused[:MOST_REFUSED]:
        console.print(f"[red]Not scored:[/] {escape(one.file)}: {one.code}: {escape(one.message)}")
    if (more := len(report.refused) - MOST_REFUSED) > 0:
        console.print(f"[red]Not scored:[/] {more} more, see the report")
    for reason in report.data.left_out:
        console.print(f"[yellow]Left out:[/] {escape(reason)}")
    training = report.training
    console.print(f"[yellow]{VERDICTS[training.verdict]}:[/] {escape(training.words)}")
    for note in (*target.notes, *report.warnings):
        console.print(f"[yellow]Note:[/] {escape(note)}")
    console.print(f"Wrote {escape(str(out))}/report.html, report.json and predictions.csv")


def _findings(report: Report) -> Table:
    table = _table("Finding", "Images", "With", "AUC", "Average precision", "Brier", "ECE")
    for one in report.findings:
        calibration = one.calibration
        table.add_row(
            escape(one.label),
            str(one.images),
            str(one.positives),
            _estimate(one.auc),
            figure(one.average_precision),
            figure(calibration.brier if calibration else None),
            figure(calibration.expected_error if calibration else None),
        )
    return table


def _points(target: Finding) -> Table:
    """Cuts side by side: a terminal is higher than it is wide."""
    points = target.points
    table = _table("Cut", *(point.name.replace(" ", "\n") for point in points))
    rows: dict[str, list[Interval]] = {
        "Sensitivity": [point.sensitivity for point in points],
        "Specificity": [point.specificity for point in points],
        "PPV": [point.ppv for point in points],
        "NPV": [point.npv for point in points],
    }
    for point in points:
        if elsewhere := point.at_prevalence:
            share = f"{100 * elsewhere.prevalence:g} %"
            rows.setdefault(f"PPV at {share}", []).append(elsewhere.ppv)
            rows.setdefault(f"NPV at {share}", []).append(elsewhere.npv)
    table.add_row("Probability over", *(f"{point.probability:.4f}" for point in points))
    for name, cells in rows.items():
        table.add_row(name, *(_estimate(cell) for cell in cells))
    return table


def _comparisons(report: Report) -> Table:
    table = _table(
        f"Against {report.model.variant}", "AUC", "Difference", "p", "Changed", "Max |Δp|"
    )
    for other in report.comparisons:
        for one in other.findings:
            table.add_row(
                f"{escape(other.name)}\n[dim]{escape(one.label)}[/]",
                figure(one.auc.value, 4),
                _estimate(one.difference, 4),
                p_value(one.p_value),
                str(len(one.flips)),
                figure(one.max_probability_difference, 4),
            )
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _estimate(found: Interval, digits: int = 3) -> str:
    """An estimate over its interval."""
    if found.low is None:
        return figure(found.value, digits)
    ends = interval(found, digits)
    if found.low >= 0:  # a dash would be taken for a sign
        ends = ends.replace(" to ", "–")
    return f"{figure(found.value, digits)}\n[dim]{ends}[/]"
