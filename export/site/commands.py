"""`cxr calibrate`."""

from __future__ import annotations

from pathlib import Path

import click

from service.commands.output import require_writable_file
from service.commands.variant import variant_options

_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command()
@click.argument(
    "data", type=click.Path(path_type=Path, exists=True), metavar="DIR|CSV", required=True
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("site.json"),
    show_default=True,
    help="The site file; its report lies beside it as .html and .report.json.",
)
@click.option("--sensitivity", type=_SHARE, help="Aim: at least this sensitivity.")
@click.option("--specificity", type=_SHARE, help="Aim: at least this specificity.")
@click.option(
    "--cost",
    type=click.FloatRange(0, min_open=True),
    help="Aim: least cost where a missed finding costs as much as this many false alarms.",
)
@click.option(
    "--judge",
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR|CSV",
    help="Judge on these, and fit on all of DATA; if left out, every other patient is judged on.",
)
@click.option(
    "--patient",
    "patient_column",
    metavar="COLUMN",
    help="Column that names the patient; if left out, every image counts as a patient.",
)
@click.option(
    "--finding",
    "findings",
    multiple=True,
    help="Fit this finding, or refuse; repeatable. If left out, all that are labelled and can be.",
)
@click.option(
    "--prevalence",
    type=_SHARE,
    help="Share of patients with the finding where it is used, for the calibrated probability "
    "and --cost [default: as among the images].",
)
@click.option(
    "--error",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="Share of each class that may be decided wrongly; what would exceed it is uncertain.",
)
@click.option(
    "--half-width",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="How far the ends of the intervals of sensitivity and specificity may lie off; it says "
    "how many patients are enough.",
)
@click.option("--by", help="Who fits it, for the report.")
@variant_options
def calibrate(
    data: Path,
    out: Path,
    sensitivity: float | None,
    specificity: float | None,
    cost: float | None,
    judge: Path | None,
    patient_column: str | None,
    findings: tuple[str, ...],
    prevalence: float | None,
    error: float,
    half_width: float,
    by: str | None,
    bundle: str | None,
    runtime: str | None,
    precision: str | None,
) -> None:
    """Fit operating points and probabilities to a site's own labelled radiographs.

    DIR or CSV is as `cxr evaluate` takes it. For each finding an operating point is chosen for
    one aim, the probability is calibrated, and what cannot be decided at the error rate is called
    uncertain. All of it is judged on other patients than it was fitted on.

    OUT is for `--site` and CXR_SITE; it belongs to the bundle that it was fitted with.

    \b
      cxr calibrate table.csv --patient patient_id --sensitivity 0.95
      cxr calibrate fit.csv --judge judge.csv --patient patient_id --cost 9 --prevalence 0.05
      CXR_SITE=site.json cxr serve

    Exit status: 0 done, 1 refused with the reason, such as too few patients, 2 wrong usage.
    """
    aims = {"sensitivity": sensitivity, "specificity": specificity, "cost": cost}
    given = [(kind, value) for kind, value in aims.items() if value is not None]
    if len(given) != 1:
        raise click.UsageError("one of --sensitivity, --specificity and --cost is needed")
    if out.suffix != ".json":
        raise click.BadParameter(f"{out} does not end in .json", param_hint="--out")
    require_writable_file(out)
    try:
        from export.site.run import run
    except ModuleNotFoundError as missing:
        raise click.ClickException(
            f"calibrating needs {missing.name}, which is not installed: "
            "pip install 'cxr-pneumonia[evaluate]'"
        ) from missing
    from export.site.records import Asked
    from service.network.site import Aim
    from service.settings import read_settings

    ((kind, value),) = given
    asked = Asked(
        aim=Aim.model_validate({"kind": kind, "value": value}),
        prevalence=prevalence,
        error=error,
        half_width=half_width,
        patient_column=patient_column,
        by=by,
    )
    settings = read_settings(bundle=bundle, runtime=runtime, precision=precision)
    # An older site file has no part in the next one, and may be of another bundle.
    run(data, judge, out, findings, asked, settings.model_copy(update={"site": None}))
