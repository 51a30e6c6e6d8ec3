"""`cxr inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from service.radiograph.exposure import Exposure

LEVELS = ("mean", "low", "high", "black", "white")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PNG",
    help="Write the 224 x 224 pixels that the network gets, as a 16-bit PNG.",
)
@click.option(
    "--no-voi",
    is_flag=True,
    help="Leave a DICOM file's VOI LUT or window out, as CXR_VOI_LUT=false does.",
)
def inspect(file: Path, as_json: bool, out: Path | None, no_voi: bool) -> None:
    """Say what the service sees in FILE, without the patient's data in it.

    Format and transfer syntax, photometric interpretation, bits, how stored values become grey
    levels, the crop, and what there is to be warned about. A file that would be refused is
    refused here with the same reason. CXR_VOI_LUT and the limits of the environment apply as
    they do to the service.

    \b
      cxr inspect radiograph.dcm
      cxr inspect radiograph.dcm --no-voi --out input.png
      cxr inspect radiograph.png --json

    Exit status: 0 done, 1 refused with the reason on standard error, 2 wrong usage.
    """
    from service.commands.output import require_writable_file
    from service.network.answer import crop_answer
    from service.radiograph.reader import reader
    from service.settings import read_settings

    if out is not None:
        require_writable_file(out)
    settings = read_settings(voi_lut=False if no_voi else None)
    with reader(settings).reading_framed(file.read_bytes(), reduce=True) as framed:
        radiograph, model_input, exposure = framed.radiograph, framed.input, framed.exposure
    source, geometry = radiograph.source, model_input.geometry
    seen: dict[str, object] = {
        "format": source.format,
        "transfer_syntax": source.transfer_syntax,
        "photometric_interpretation": source.photometric_interpretation,
        "bits": source.bits,
        "width": source.width,
        "height": source.height,
        "intensity": source.intensity,
        "modality": source.modality,
        "view": source.view,
        "orientation": source.orientation,
        "reduction": radiograph.reduction,
        "exposure": {name: round(getattr(exposure, name), 3) for name in LEVELS},
        "border": _border(exposure),
        "crop": crop_answer(geometry).model_dump(),
        "unseen": geometry.unseen._asdict(),
        "input_sha256": model_input.sha256,
        "warnings": list(framed.warnings),
    }
    if out is not None:
        _write(model_input.pixels[0], out)
    if as_json:
        import json

        click.echo(json.dumps(seen))
    else:
        _print(file, seen)


def _border(exposure: Exposure) -> dict[str, object] | None:
    border = exposure.border
    if border is None:
        return None
    return {**border.margins._asdict(), "shade": border.shade, "share": round(border.share, 3)}


def _write(pixels: object, out: Path) -> None:
    """Write pixels in [0, 1] with 16 bits, so that they differ by at most 1/131070."""
    import io

    import numpy as np
    from PIL import Image

    from service.commands.output import write_file

    deep = np.rint(np.asarray(pixels) * np.float32(65535)).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(deep).save(buffer, "PNG")
    write_file(out, buffer.getvalue())


def _print(file: Path, seen: dict[str, object]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "", show_header=False, title=escape(file.name), title_justify="left")
    table.columns[1].overflow = "fold"
    for name, value in seen.items():
        if name == "warnings" or value is None:
            continue
        if isinstance(value, dict):
            value = ", ".join(  # noqa: PLW2901
                f"{key} {part}" for key, part in value.items() if part is not None
            )
        table.add_row(name.replace("_", " "), escape(str(value)))
    console = Console()
    console.print(table)
    for warning in seen["warnings"]:  # type: ignore[attr-defined]
        console.print(f"[yellow]Note:[/] {escape(warning)}", highlight=False)
