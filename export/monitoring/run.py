"""One comparison from its arguments to its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from export.evaluation.page import figure, p_value
from export.monitoring.drift import watch
from export.monitoring.page import write_page
from export.monitoring.records import Report
from export.monitoring.table import read_log
from export.monitoring.textfile import write_textfile
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
