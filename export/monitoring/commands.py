"""`cxr watch`."""

from __future__ import annotations

from pathlib import Path

import click

from service.commands.output import require_writable_file, require_writable_folder

DRIFTS = 3
"""Exit status where something drifts, or the shadow decides otherwise."""

_LOG = click.Path(path_type=Path, exists=True)


@click.command()
@click.option(
    "--reference",
    "then",
    type=_LOG,
    multiple=True,
    metavar="LOG",
    help="Log of a time when all was well; a folder, a day's folder or a file; repeatable.",
)
@click.option("--now", type=_LOG, multiple=True, metavar="LOG", help="The window; repeatable.")
@click.option(
    "--shadow",
    type=_LOG,
    multiple=True,
    metavar="LOG",
    help="Instead of both: log with the numbers of a shadow (CXR_SHADOW), which is compared with "
    "the bundle that answered; repeatable.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("watch"),
    show_default=True,
    help="Folder for watch.html and watch.json, or shadow.html and shadow.json.",
)
@click.option(
    "--false-alarms",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Share of windows without drift that may be called drifting, or of equal shadows that may "
    "be called different.",
)
@click.option(
    "--windows",
    type=click.IntRange(20),
    default=500,
    show_default=True,
    help="Windows of the reference that are drawn to find the threshold.",
)
@click.option(
    "--agreement",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.98,
    show_default=True,
    help="Share of images that the shadow has to decide as the served bundle does.",
)
@click.option(
    "--textfile",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.prom",
    help="Also write gauges for the textfile collector of Prometheus's node exporter.",
)
def watch(
    then: tuple[Path, ...],
    now: tuple[Path, ...],
    shadow: tuple[Path, ...],
    out: Path,
    false_alarms: float,
    windows: int,
    agreement: float,
    textfile: Path | None,
) -> None:
    """Say what has changed in the images that come, without any label.

    The service keeps a log of numbers where CXR_MONITORING_LOG names a folder. A window of it is
    compared with a reference, column by column: scores, decisions, facts of the acquisition. How
    large a difference has to be follows from windows of the reference itself.

    With --shadow, say whether a second bundle decides the same images otherwise.

    \b
      CXR_MONITORING_LOG=numbers cxr serve
      cxr watch --reference numbers/day=2026-03-02 --now numbers/day=2026-06-01 --out june
      CXR_MONITORING_LOG=numbers CXR_SHADOW=models/next cxr serve
      cxr watch --shadow numbers

    Needs pip install 'cxr-pneumonia[archive,evaluate]'.

    Exit status: 0 nothing drifts, 1 a log cannot be used, 2 wrong usage, 3 something drifts or the
    shadow decides otherwise.
    """
    if bool(shadow) == bool(then or now) or bool(then) != bool(now):
        raise click.UsageError("give --reference and --now, or --shadow alone")
    require_writable_folder(out)
    if textfile is not None:
        require_writable_file(textfile)
    try:
        from export.monitoring.run import run, run_shadow
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"watching needs {error.name}, which is not installed: "
            "pip install 'cxr-pneumonia[archive,evaluate]'"
        ) from error
    if shadow:
        changed = run_shadow(shadow, out, agreement, false_alarms, textfile)
    else:
        changed = run(then, now, out, false_alarms, windows, textfile)
    if changed:
        raise SystemExit(DRIFTS)
