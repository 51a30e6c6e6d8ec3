"""Where the figures of a run go: standard output, a JSON file, a table and its plot."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import click

from bench.processes import environment


def publish(
    report: dict[str, Any], text: str, plot: str, out: Path | None, write: Path | None, python: Path
) -> None:
    """Print a report's tables and write what is wanted of them.

    Args:
        report: The figures, JSON-serialisable.
        text: Their tables in Markdown.
        plot: Module that draws them: `python -m PLOT IN.json OUT.svg`.
        out: JSON file to write.
        write: The Markdown file to write; the plot stands beside it.
        python: Interpreter with matplotlib.
    """
    click.echo(text)
    with tempfile.TemporaryDirectory(prefix="cxr-report-") as spare:
        source = out or Path(spare, "report.json")
        source.write_text(json.dumps(report, indent=1) + "\n")
        if write is not None:
            write.write_text(text)
            drawing = [str(python), "-m", plot, str(source), str(write.with_suffix(".svg"))]
            subprocess.run(drawing, env=environment(), check=True)
