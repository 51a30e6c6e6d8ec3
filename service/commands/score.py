"""`cxr score`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from service.commands.variant import site_option, variant_options

if TYPE_CHECKING:
    from service.archive.output import Output
    from service.archive.run import Engine, RunOptions, Summary
    from service.network.answer import ModelAnswer
    from service.network.predictor import Predictor
    from service.settings import Settings

FORMATS = ("csv", "jsonl", "parquet", "dicom-sr", "fhir")


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="File of results, .csv, .jsonl or .parquet; a folder for dicom-sr and fhir.",
)
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Of the results [default: by --out]."
)
@click.option(
    "--target",
    default="Pneumonia",
    show_default=True,
    help="Finding that structured reports (dicom-sr) are about.",
)
@click.option("--restart", is_flag=True, help="Drop what an unfinished run left, and begin anew.")
@click.option("--overwrite", is_flag=True, help="Replace finished results.")
@click.option(
    "--as-listed",
    is_flag=True,
    help="Continue with the files that were listed at the beginning, whatever became of them.",
)
@click.option(
    "--keep-every",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    metavar="N",
    help="Files after which results are kept for good: what a crash may cost.",
)
@click.option("--engine", type=click.Choice(("local", "ray")), default="local", show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes of --engine ray that each hold a runtime and share the CPUs [default: 1].",
)
@click.option("--ray-address", metavar="A", help="A running cluster [default: start one here].")
@variant_options
@site_option
def score(
    paths: tuple[str, ...],
    out: Path,
    form: str | None,
    target: str,
    restart: bool,
    overwrite: bool,
    as_listed: bool,
    keep_every: int,
    engine: str,
    workers: int | None,
    ray_address: str | None,
    bundle: str | None,
    runtime: str | None,
    precision: str | None,
    site: Path | None,
) -> None:
    """Score an archive: one row a file, whatever is in it.

    \b
    PATH is
      a file
      a folder: every file in it and below, but hidden ones (DICOM needs no suffix)
      a quoted pattern, such as 'scans/**/*.dcm'
      a CSV file with a column "path", relative to the CSV file
      a DICOMDIR, which stands for its folder

    \b
      cxr score archive --out results.parquet
      cxr score list.csv 'more/*.png' --out results.csv
      cxr score archive --out reports --format dicom-sr
      cxr score archive --out results.parquet --engine ray --ray-address auto --workers 8

    Rows come in the order of the files' names, each file once, and the same files give the same
    bytes. A file that cannot be scored is a row too: "status" is "ok" or the error's code,
    "message" says why. "path" is the path below PATH; where there are several, PATH stands in
    front. In CSV, text that a spreadsheet would run as a formula gets an apostrophe in front.

    Results so far are kept in OUT.partial. After a crash or Ctrl-C the same command continues
    there, and ends with the same bytes as if nothing had happened. It does not where the bundle,
    a setting, this software or the files (name, size or modification time) have changed: it says
    what has and changes nothing.

    --format dicom-sr writes a structured report of each DICOM file into the folder OUT, with its
    rows in OUT/results.jsonl; --format fhir a transaction of FHIR resources (R4) of all findings.
    Parquet needs pip install 'cxr-pneumonia[archive]', --engine ray
    'cxr-pneumonia[ray]', dicom-sr 'cxr-pneumonia[explain]'.

    Exit status: 0 done, refused files included; 1 failed; 2 wrong usage; 130 after Ctrl-C, 143
    after SIGTERM.
    """
    place = _place(out, form)
    for option, value in {"--workers": workers, "--ray-address": ray_address}.items():
        if value is not None and engine != "ray":
            raise click.UsageError(f"{option} is for --engine ray")
    _check_packages(place.form, engine)
    from service.archive.progress import watching

    with _stopping(), watching() as watch:
        try:
            from service.archive.run import RunOptions, score_archive
            from service.network.predictor import open_predictor
            from service.settings import read_settings

            settings = read_settings(bundle=bundle, runtime=runtime, precision=precision, site=site)
            order = RunOptions(
                paths=paths,
                place=place,
                target=target if place.is_folder else None,
                restart=restart,
                overwrite=overwrite,
                as_listed=as_listed,
                keep_every=keep_every,
            )
            predictor = open_predictor(settings)
            if predictor.note:
                watch.say(predictor.note)
            work = _engine(engine, order, predictor, settings, workers or 1, ray_address)
            summary = score_archive(order, predictor, settings, work, watch)
        except _Stopped as stop:
            kept = f" {watch.kept:,} of {watch.total:,} files are kept." if watch.total else ""
            watch.say(f"Stopped.{kept} The same command continues from there.")
            raise SystemExit(stop.status) from stop
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(
                f"{where}{error.strerror}; what is done is kept, and the same command continues"
            ) from error
    _print(place, summary, predictor.model)


def _place(out: Path, form: str | None) -> Output:
    from service.archive.output import Output, format_of

    chosen = form or format_of(out)
    if chosen is None:
        raise click.UsageError(
            f"{out} does not end in .csv, .jsonl or .parquet; say which with --format"
        )
    return Output(out, chosen)  # type: ignore[arg-type]  # click holds it to FORMATS


def _check_packages(form: str, engine: str) -> None:
    """Say what is missing before any work is done."""
    from importlib.util import find_spec

    needed = []
    if form == "parquet":
        needed.append(("writing Parquet", "pyarrow", "archive"))
    if form == "dicom-sr":
        needed.append(("writing structured reports", "highdicom", "explain"))
    if form == "fhir":
        needed.append(("writing FHIR resources", "fhir.resources", "node"))
    if engine == "ray":
        needed.append(("--engine ray", "ray", "ray"))
    for what, package, extra in needed:
        try:
            missing = find_spec(package) is None
        except ModuleNotFoundError:
            missing = True
        if missing:
            raise click.ClickException(
                f"{what} needs {package}, which is not installed: "
                f"pip install 'cxr-pneumonia[{extra}]'"
            )


def _engine(
    name: str,
    order: RunOptions,
    predictor: Predictor,
    settings: Settings,
    workers: int,
    address: str | None,
) -> Engine:
    fhir = order.place.form == "fhir"
    if name == "ray":
        from service.archive.ray_engine import Cluster, RayEngine

        cluster = Cluster(workers, address)
        return RayEngine(cluster, settings, order.target, predictor.model, fhir=fhir)
    from service.archive.local_engine import LocalEngine, scoring

    return LocalEngine(predictor, scoring(settings, order.target, fhir=fhir))


class _Stopped(BaseException):
    """The process was asked to stop."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


@contextmanager
def _stopping() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into an exception, once; the next one ends the process at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        raise _Stopped(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print(place: Output, summary: Summary, model: ModelAnswer) -> None:
    from service.network.answer import DEMO_WARNING

    if summary.scored_now:
        rate = summary.scored_now / summary.seconds
        click.echo(
            f"Wrote {place.out}: {summary.files:,} files, of them {summary.scored_now:,} in this "
            f"run in {summary.seconds:.1f} s ({rate:.1f}/s)"
        )
    else:
        click.echo(f"{place.out} is finished: {summary.files:,} files")
    scored = summary.statuses.get("ok", 0)
    refused = {code: count for code, count in summary.statuses.items() if code != "ok"}
    codes = ", ".join(f"{count:,} {code}" for code, count in refused.items())
    reasons = f": {codes}" if codes else ""
    click.echo(f"{scored:,} scored, {summary.files - scored:,} refused{reasons}")
    click.echo(f"{model.name} {model.version} on {model.runtime} {model.precision}")
    if model.demo:
        click.echo(f"Note: {DEMO_WARNING}", err=True)
