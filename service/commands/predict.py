"""`cxr predict`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.commands.variant import site_option, variant_options

if TYPE_CHECKING:
    from service.errors import CxrError
    from service.network.answer import Prediction


@click.command()
@click.argument("images", nargs=-1, type=click.Path(path_type=Path), metavar="[IMAGE]...")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("table", "json", "fhir")),
    default="table",
    show_default=True,
    help="json: one object a line, as /predict has; fhir: a transaction of FHIR R4 resources a "
    "line, for DICOM.",
)
@variant_options
@site_option
def predict(
    images: tuple[Path, ...],
    as_json: bool,
    form: str,
    bundle: str | None,
    runtime: str | None,
    precision: str | None,
    site: Path | None,
) -> None:
    """Say how likely each finding is on a radiograph.

    Without an IMAGE, one of datasets/test/{NORMAL,PNEUMONIA}/ is picked, or else a drawn phantom
    that ships with the service; either is named. The score is the probability rescaled so that
    0.5 is the finding's operating point: a finding is positive over 0.5. --site adds what the
    site's own file makes of it.

    \b
      cxr predict radiograph.dcm
      cxr predict *.png --json
      cxr predict radiograph.png --bundle models/densenet121-res224-all

    A folder is scored by `cxr score FOLDER --out results.csv`.

    Exit status: 0 done, 1 an image could not be scored (it is named, the others are answered all
    the same), 2 wrong usage.
    """
    from service.commands.images import pick_image
    from service.errors import CxrError
    from service.network.predictor import open_predictor
    from service.settings import read_settings

    paths = images or (pick_image(),)
    settings = read_settings(bundle=bundle, runtime=runtime, precision=precision, site=site)
    predictor = open_predictor(settings, staged=True)
    failed = False
    for path in paths:
        try:
            data = path.read_bytes()
            answer = predictor.predict(data)
            resources = _resources(data, answer) if form == "fhir" else None
        except (CxrError, OSError) as error:
            click.echo(f"cxr: {path}: {_reason(path, error)}", err=True)
            failed = True
            continue
        if resources is not None:
            click.echo(resources)
        elif as_json or form == "json":
            click.echo(answer.model_dump_json())
        else:
            _print_table(path, answer)
    if failed:
        raise SystemExit(1)


def _resources(data: bytes, answer: Prediction) -> str:
    """FHIR resources of a prediction.

    Raises:
        CxrError: The file is no DICOM or in no study.
        click.ClickException: A package is missing.
    """
    try:
        import fhir.resources  # noqa: F401 - that it is missing is said with its extra

        from service.explain.dicom.study import source_header
        from service.explain.fhir import findings_bundle
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"FHIR resources need {error.name}, which is not installed: "
            "pip install 'cxr-pneumonia[node]'"
        ) from error
    return findings_bundle(
        source_header(data), answer.pathologies, answer.model, answer.warnings, answer.site
    )


def _reason(path: Path, error: CxrError | OSError) -> str:
    """Why an image was not scored."""
    if isinstance(error, IsADirectoryError):
        scored = f"cxr score {shlex.quote(str(path))} --out results.csv"
        return f"this is a folder; `{scored}` scores every file in it"
    return (error.strerror if isinstance(error, OSError) else error.message) or str(error)


def _print_table(path: Path, answer: Prediction) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    model, image, site = answer.model, answer.image, answer.site
    unusual = answer.input.verdict == "unusual"
    table = Table()
    table.add_column("Finding")
    table.add_column("Score", justify="right")
    table.add_column("Probability", justify="right")
    table.add_column("")
    if site:
        table.add_column("Calibrated", justify="right")
        table.add_column("At this site")
    ordered = sorted(
        answer.pathologies.items(),
        key=lambda item: (item[0] != answer.finding, not item[1].positive, -item[1].score),
    )
    for label, found in ordered:
        table.add_row(
            label,
            f"{found.score:.3f}",
            f"{found.probability:.4f}",
            _decision("positive" if found.positive else "negative", unusual),
            *(
                (
                    f"{found.site.calibrated_probability:.3f}",
                    _decision(found.site.decision, unusual),
                )
                if found.site
                else ()
            ),
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{escape(str(path))}[/]")
    if unusual:
        console.print("[bold yellow]Unusual image: do not rely on its scores.[/]")
    console.print(table)
    console.print(
        f"{image.format}, {image.width} x {image.height}, {image.bits} bits; {model.name} "
        f"{model.version} on {model.runtime} {model.precision}"
    )
    if site:
        console.print(f"site file {site.sha256[:12]} of {site.created[:10]}")
    for warning in answer.warnings:
        console.print(f"[yellow]Note:[/] {escape(warning)}")


def _decision(decision: str, unusual: bool) -> str:
    """A decision with its colour; of an unusual image positive has none."""
    styles = {"positive": "bold red", "uncertain": "yellow", "negative": "dim"}
    if unusual:
        return decision
    return f"[{styles[decision]}]{decision}[/]"
