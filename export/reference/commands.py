"""`cxr reference`."""

from __future__ import annotations

from pathlib import Path

import click

from service.commands.output import require_writable_file
from service.commands.variant import bundle_option


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="DIR|CSV...")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write, such as reference.npz.",
)
@click.option(
    "--lateral",
    type=click.Path(path_type=Path, exists=True),
    help="Folder of lateral views, some ten or more, so that these can be named.",
)
@click.option(
    "--alarm-rate",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="Share of such radiographs that may be called unusual by their distance.",
)
@bundle_option
def reference(
    paths: tuple[str, ...],
    out: Path,
    lateral: Path | None,
    alarm_rate: float,
    bundle: str | None,
) -> None:
    """Fit what usual radiographs are, on frontal ones of your own.

    An image that is far from the reference is answered with a warning, and one that is far
    outside of it is refused. Give radiographs as they come from your own machines: some two
    hundred or more, frontal, upright, not selected. Labels are not needed. The file holds
    averages, directions and thresholds, no image, and belongs to the weights of the bundle.

    \b
      cxr reference radiographs/ --out reference.npz
      CXR_REFERENCE=reference.npz cxr serve
      cxr export --weights densenet121-res224-all --reference reference.npz

    Exit status: 0 written, 1 not written, with the reason, 2 wrong usage.
    """
    require_writable_file(out)
    try:
        from export.reference.run import run
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"fitting needs {error.name}, which is not installed: "
            "pip install 'cxr-pneumonia[evaluate]'"
        ) from error
    from service.settings import read_settings

    run(paths, lateral, out, alarm_rate, read_settings(bundle=bundle))
