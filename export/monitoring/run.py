"""One comparison from its arguments to its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from export.evaluation.page import figure, interval, p_value, percent
from export.monitoring.drift import watch
from export.monitoring.page import write_page, write_shadow_page
from export.monitoring.records import Report, ShadowReport
from export.monitoring.shadow import compare_shadow
from export.monitoring.table import read_log, read_pairs
from export.monitoring.textfile import write_shadow_textfile, write_textfile
from service.durable import write_whole


def run(
    then: Sequence[Path],
    now: Sequence[Path],
    out: Path,
    false_alarm_rate: float,
    windows: int,
    textfile: Path | None,
) -> bool:
    """Compare two logs, write the report and say what drifts.

    Returns:
        Whether anything drifts.

    Raises:
        SetupFault: A log cannot be read, or has too few rows.
    """
    report = watch(read_log(then), read_log(now), false_alarm_rate, windows)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "watch.json", report.model_dump_json(indent=2).encode() + b"\n")
    write_whole(out / "watch.html", write_page(report).encode())
    if textfile is not None:
        write_textfile(report, textfile)
    _print(report, out, Console(highlight=False, soft_wrap=True))
    return report.drifts


def run_shadow(
    log: Sequence[Path],
    out: Path,
    agreement: float,
    false_alarm_rate: float,
    textfile: Path | None,
) -> bool:
    """Compare a shadow with the served bundle, write the report and say where decisions differ.

    Returns:
        Whether they do.

    Raises:
        SetupFault: The log cannot be read, or has too few images that both have scored.
    """
    report = compare_shadow(read_pairs(log), agreement, false_alarm_rate)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "shadow.json", report.model_dump_json(indent=2).encode() + b"\n")
    write_whole(out / "shadow.html", write_shadow_page(report).encode())
    if textfile is not None:
        write_shadow_textfile(report, textfile)
    _print_shadow(report, out, Console(highlight=False, soft_wrap=True))
    return report.differs


def _print_shadow(report: ShadowReport, out: Path, console: Console) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("Finding")
    for name in ("Same decision", "Served alone", "Shadow alone", "Kappa", "Mean score difference"):
        table.add_column(name, justify="right")
    for name in ("p direction", "p amount", "p scores"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in report.findings:
        name = escape(one.finding.replace("_", " "))
        table.add_row(
            f"[red]{name}[/]" if one.decisions_differ else name,
            percent(one.same_decision),
            str(one.served_alone),
            str(one.shadow_alone),
            figure(one.kappa.value),
            f"{figure(one.score_difference.value, 4)} ({interval(one.score_difference, 4)})",
            *(p_value(value) for _, value in one.adjusted),
        )
    console.print(table)
    differing = [one.finding.replace("_", " ") for one in report.findings if one.decisions_differ]
    console.print(
        f"{report.shadow} beside {report.served}, {report.rows} of {report.of} images: "
        + (f"[red]{escape(', '.join(differing))}[/] " if differing else "no finding ")
        + f"decided otherwise, at a false alarm rate of {report.false_alarm_rate:g} and "
        f"{100 * report.agreement:g} % of the same decisions asked for"
    )
    for warning in report.warnings:
        console.print(f"[yellow]Note:[/] {escape(warning)}")
    console.print(f"Wrote {escape(str(out))}/shadow.html and shadow.json")


def _print(report: Report, out: Path, console: Console) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("Column")
    for name in ("Stability", "Distance", "p, adjusted"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Then")
    table.add_column("Now")
    for one in report.columns:
        table.add_row(
            f"[red]{escape(one.column)}[/]" if one.drifts else escape(one.column),
            figure(one.stability),
            figure(one.distance),
            p_value(one.adjusted),
            escape(one.then),
            escape(one.now),
        )
    console.print(table)
    drifting = [one.column for one in report.columns if one.drifts]
    console.print(
        f"{report.now.rows} images now, {report.then.rows} then: "
        + (f"[red]{escape(', '.join(drifting))}[/] drift" if drifting else "nothing drifts")
        + f", at a false alarm rate of {report.false_alarm_rate:g} a window (adjusted p at most "
        f"{report.threshold:.3g})"
    )
    for warning in report.warnings:
        console.print(f"[yellow]Note:[/] {escape(warning)}")
    console.print(f"Wrote {escape(str(out))}/watch.html and watch.json")
