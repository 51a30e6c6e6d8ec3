"""`cxr gradcam`."""

from __future__ import annotations

from pathlib import Path

import click

from service.commands.variant import bundle_option


@click.command()
@click.argument("image", required=False, type=click.Path(path_type=Path))
@click.option(
    "--target", default="Pneumonia", show_default=True, help="Finding to explain, in any case."
)
@click.option("--method", help="gradcam, gradcam++, hirescam, layercam or cam [default: gradcam].")
@click.option(
    "--layer",
    help="denseblock1 to denseblock4, or norm5, the last [default: the last that the method is "
    "offered at].",
)
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
    help="File to write: .png, .jpg, or .dcm for a DICOM Secondary Capture of a DICOM IMAGE.",
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

    Without an IMAGE, one of datasets/test/{NORMAL,PNEUMONIA}/ is picked, or else a drawn phantom
    that ships with the service; either is named. Needs PyTorch:
    pip install 'cxr-pneumonia[explain]'.

    \b
      cxr gradcam radiograph.png
      cxr gradcam radiograph.dcm --target effusion --out map.dcm
      cxr gradcam radiograph.jpg --method hirescam --layer denseblock4 --out map.jpg

    Exit status: 0 done, 1 failed with the reason on standard error, 2 wrong usage.
    """
    from service.commands.finding import finding_named
    from service.commands.images import pick_image
    from service.commands.output import require_writable_file, write_file
    from service.errors import NotAnImage
    from service.media_types import DICOM

    media_type = _media_type(out)
    require_writable_file(out)
    try:
        from service.explain.explainer import open_explainer
        from service.explain.replies import draw_as

        if media_type == DICOM:
            import highdicom  # noqa: F401 - that it is missing is said before the work
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"drawing heat maps needs {error.name}, which is not installed: "
            "pip install 'cxr-pneumonia[explain]'"
        ) from error
    from service.explain.dicom.study import source_header
    from service.explain.fields import ExplainFields
    from service.settings import read_settings

    path = image or pick_image()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotAnImage(f"{path}: {error.strerror}") from error
    if media_type == DICOM:
        source_header(data)  # what is no DICOM image is refused before the work
    explainer = open_explainer(read_settings(bundle=bundle))
    fields = ExplainFields(
        target=finding_named(target, explainer.manifest.labels),
        method=method,
        layer=layer,
        opacity=opacity,
        captions=True,
        faithfulness=False,
        objects=(),
    )
    reply, explanation = draw_as(media_type, explainer, data, fields)
    write_file(out, reply.content)
    click.echo(
        f"{fields.target} {explanation.served.score:.3f} (operating point 0.5) on {path}; "
        f"wrote {out}"
    )
    if explanation.words:
        click.echo(f"Most evidence: {explanation.words}")
    if explanation.reason:
        click.echo(f"Note: no map: {explanation.reason}", err=True)


def _media_type(out: Path) -> str:
    """What the ending of a file's name says that it holds.

    Raises:
        click.BadParameter: Nothing that is written here.
    """
    from service.media_types import DICOM, JPEG, PNG

    endings = {".png": PNG, ".jpg": JPEG, ".jpeg": JPEG, ".dcm": DICOM, ".dicom": DICOM}
    try:
        return endings[out.suffix.lower()]
    except KeyError as error:
        raise click.BadParameter(
            f"{out} does not end in {', '.join(endings)}", param_hint="--out"
        ) from error
