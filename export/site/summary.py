"""What the terminal shows of a calibration."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from export.evaluation.page import figure, interval
from export.evaluation.records import Interval
from export.site.records import FittedFinding, Report


def print_summary(report: Report, out: Path, console: Console) -> None:
    """Print before and after for each finding, and where the rest is."""
    model, aim = report.model, report.asked.aim
    console.print(
        f"Fitted on {report.fitted.scored} images of {escape(report.fitted.name)}, judged on "
        f"{report.judged.scored} of {escape(report.judged.name)}; {escape(model.bundle)} "
        f"{model.version} on {model.variant}; aim: {aim.kind} {aim.value:g}"
    )
    for finding in report.findings:
        console.print(_finding(finding))
    for one in report.left_out:
        console.print(f"[yellow]Not fitted:[/] {escape(one.label)}: {escape(one.reason)}")
    for refused in report.refused:
        console.print(
            f"[red]Not scored:[/] {escape(refused.file)}: {refused.code}: {escape(refused.message)}"
        )
    for warning in report.warnings:
        console.print(f"[yellow]Note:[/] {escape(warning)}")
    html, figures = out.with_suffix(".html").name, out.with_suffix(".report.json").name
    console.print(f"Wrote {escape(str(out))} ({report.site_sha256[:12]}), {html} and {figures}")


def _finding(finding: FittedFinding) -> Table:
    after, before = finding.after, finding.before
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(escape(finding.label))
    for name in ("Before", "After"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(
        "Positive over probability",
        "–" if before is None else f"{before.probability:.4f}",
        f"{after.point.probability:.4f}",
    )
    for name in ("sensitivity", "specificity"):
        table.add_row(
            name.capitalize(),
            "–" if before is None else _estimate(getattr(before, name)),
            _estimate(getattr(after.point, name)),
        )
    for name, key in (("ECE", "expected_error"), ("Brier", "brier")):
        values = (getattr(finding.calibration, key), getattr(after.calibration, key))
        table.add_row(name, *(figure(value) for value in values))
    table.add_row("Uncertain", "–", _estimate(after.uncertain))
    table.add_row("Decided negative, shows it", "–", _estimate(after.missed))
    table.add_row("Decided positive, does not", "–", _estimate(after.false_alarms))
    return table


def _estimate(found: Interval) -> str:
    ends = interval(found).replace(" to ", "–")
    return f"{figure(found.value)} [dim]{ends}[/]"
