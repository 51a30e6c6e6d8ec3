"""`cxr gradcam`."""

from __future__ import annotations

from pathlib import Path

import click

from service.commands.variant import bundle_option


@click.command()
@click.argument("image", required=False, type=click.Path(path_type=Path))
@click.option("--target", default="Pneumonia", show_default=True, help="Finding to explain.")
@click.option("--method", help="How to make the map [default: gradcam].")
@click.option("--layer", help="Where to make it, such as denseblock3 [default: the best].")
@click.option(
    "--opacity",
    type=click.FloatRange(0, 1),
    default=0.45,
    show_default=True,
    help="Share of the map's colour where it is hottest.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("gradcam_result.png"),
    show_default=True,
    help="PNG file to write.",
)
@bundle_option
def gradcam(
    image: Path | None,
    target: str,
    method: str | None,
    layer: str | None,
    opacity: float,
    out: Path,
    bundle: str | None,
) -> None:
    """Draw where in a radiograph the score of a finding came from.

    Without an IMAGE, one of datasets/test/{NORMAL,PNEUMONIA}/ is picked and named. Needs
    PyTorch: pip install 'cxr-pneumonia[explain]'.
    """
    from service.commands.images import pick_from_test_set
    from service.errors import NotAnImage

    try:
        from service.explain.explainer import open_explainer
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"drawing heat maps needs {error.name}, which is not installed: "
            "pip install 'cxr-pneumonia[explain]'"
        ) from error
    from service.settings import read_settings

    path = image or pick_from_test_set()
    explainer = open_explainer(read_settings(bundle=bundle))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotAnImage(f"{path}: {error.strerror}") from error
    drawn = explainer.explain(data, target, method, layer, opacity)
    out.write_bytes(drawn.png)
    click.echo(f"{target} {drawn.score:.3f} (operating point 0.5) on {path}; wrote {out}")
    if drawn.words:
        click.echo(f"Most evidence: {drawn.words}")
    if drawn.empty:
        click.echo(f"Note: nothing in the image speaks for {target}; the map is empty", err=True)
