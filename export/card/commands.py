"""`cxr card`."""

from __future__ import annotations

from pathlib import Path

import click

from service.commands.output import require_writable_file, write_file
from service.commands.variant import site_option


@click.command()
@click.option("--bundle", metavar="DIR", help="Model bundle [default: CXR_BUNDLE or models/demo].")
@click.option(
    "--weights",
    metavar="NAME",
    help="demo or an official name such as densenet121-res224-all, in place of a bundle.",
)
@click.option(
    "--evaluation",
    "evaluations",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="report.json of cxr evaluate; repeatable.",
)
@site_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.md",
    help="Markdown file to write [default: standard output].",
)
def card(
    bundle: str | None,
    weights: str | None,
    evaluations: tuple[Path, ...],
    site: Path | None,
    out: Path | None,
) -> None:
    """Write the model card of a bundle, or of weights by their name.

    Training data, published and measured figures, operating points, known failures, intended
    use and licence: from the bundle's manifest and parity record, from evaluations of that very
    bundle, and from what the weights' makers published. What is not known is said to be.

    \b
      cxr evaluate datasets/test --out evaluation
      cxr card --evaluation evaluation/report.json --out card.md
      cxr card --weights densenet121-res224-all
    """
    if bundle and weights:
        raise click.UsageError("--bundle and --weights exclude each other")
    if site and weights:
        raise click.UsageError("--site is for a bundle, and --weights names none")
    if out is not None:
        require_writable_file(out)
    try:
        from export.card.model_card import read_report, write_card
        from export.card.subject import by_name, of_bundle
        from service.settings import bundle_folder, read_settings

        if weights:
            subject = by_name(weights)
        else:
            settings = read_settings(bundle=bundle, site=site)
            subject = of_bundle(bundle_folder(settings), settings.site)
    except ModuleNotFoundError as error:
        extra = "evaluate,export" if weights else "evaluate"
        raise click.ClickException(
            f"this card needs {error.name}, which is not installed: "
            f"pip install 'cxr-pneumonia[{extra}]'"
        ) from error
    text = write_card(subject, [read_report(path, subject) for path in evaluations])
    if out is None:
        click.echo(text, nl=False)
        return
    write_file(out, text.encode())
    click.echo(f"Wrote {out}", err=True)
