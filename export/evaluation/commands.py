"""`cxr evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from service.commands.output import require_writable_folder
from service.commands.variant import site_option, variant_options


@click.command()
@click.argument("data", required=False, type=click.Path(path_type=Path), metavar="[DIR|CSV]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("evaluation"),
    show_default=True,
    help="Folder for report.html, report.json and predictions.csv.",
)
@click.option(
    "--target",
    default="Pneumonia",
    show_default=True,
    help="Finding that the report is about, in any case.",
)
@click.option(
    "--prevalence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of patients with the finding where it would be used; adds PPV and NPV there.",
)
@click.option(
    "--sensitivity",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="Reached by the fixed-sensitivity cut.",
)
@click.option(
    "--specificity",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="Reached by the fixed-specificity cut.",
)
@click.option(
    "--dataset",
    "declared",
    metavar="NAME",
    help="Collection that the images are from: nih, rsna, google, siim, padchest, chexpert, mimic, "
    "openi, kermany, or any other name. Only then can the report say whether the weights were "
    "trained on it.",
)
@variant_options
@site_option
@click.option(
    "--compare",
    "compared",
    multiple=True,
    metavar="RUNTIME:PRECISION|DIR",
    help="Another variant of the bundle, or another bundle, on the same images; repeatable.",
)
@click.option("--limit", type=click.IntRange(1), help="Score only the first images of each class.")
def evaluate(
    data: Path | None,
    out: Path,
    target: str,
    prevalence: float | None,
    sensitivity: float,
    specificity: float,
    declared: str | None,
    bundle: str | None,
    runtime: str | None,
    precision: str | None,
    site: Path | None,
    compared: tuple[str, ...],
    limit: int | None,
) -> None:
    """Say how good the answers are on labelled radiographs.

    DIR holds folders named NORMAL and PNEUMONIA at any depth; datasets/test where nothing is
    named. A CSV table has a column `path`, absolute or relative to the table, and a column for
    each labelled finding, with 1, 0, or nothing where it is not known. Every other column makes
    subgroups:

    \b
      path,Pneumonia,Effusion,sex,age
      a/1.png,1,0,F,63
      a/2.dcm,0,,M,41

    OUT/report.html is the page to read: ROC and reliability curves, the operating point and
    others with intervals, subgroups, and the most confident mistakes with heat maps. It shows
    images and their names, so it is as confidential as they are. OUT/report.json has every
    figure in full, OUT/predictions.csv one row an image.

    \b
      cxr evaluate datasets/test --prevalence 0.05
      cxr evaluate table.csv --dataset padchest --compare openvino:float32 --compare models/mine

    Exit status: 0 done, 1 nothing could be evaluated, 2 wrong usage. Files that are refused are
    listed with the reason and count nowhere.
    """
    data = _labelled(data)
    require_writable_folder(out)
    try:
        from export.evaluation.run import run
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"evaluating needs {error.name}, which is not installed: "
            "pip install 'cxr-pneumonia[evaluate]'"
        ) from error
    from export.evaluation.records import Options
    from service.settings import read_settings

    run(
        data,
        out,
        Options(
            target=target,
            prevalence=prevalence,
            sensitivity=sensitivity,
            specificity=specificity,
            limit=limit,
        ),
        declared,
        read_settings(bundle=bundle, runtime=runtime, precision=precision, site=site),
        compared,
    )


def _labelled(data: Path | None) -> Path:
    """The folder or table that was named, or the test set.

    Raises:
        click.UsageError: It is not there.
    """
    from service.commands.images import TEST_SET

    path = data or TEST_SET
    if path.exists():
        return path
    if data is None:
        raise click.UsageError(f"no DIR or CSV was named and there is no {TEST_SET}")
    raise click.UsageError(f"{data} does not exist")
