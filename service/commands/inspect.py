"""`cxr inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.commands.variant import bundle_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.network.gate import Judgement
    from service.radiograph.exposure import Exposure, Reason
    from service.radiograph.preprocess import ModelInput
    from service.settings import Settings

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
@bundle_option
def inspect(file: Path, as_json: bool, out: Path | None, no_voi: bool, bundle: str | None) -> None:
    """Say what the service sees in FILE, without the patient's data in it.

    Format and transfer syntax, photometric interpretation, bits, how stored values become grey
    levels, the crop, and what there is to be warned about. A file that would be refused is
    refused here with the same reason. CXR_VOI_LUT and the limits of the environment apply as
    they do to the service. Where a bundle is there, the network is run too, and `input` says how
    unusual the image is beside the reference radiographs.

    \b
      cxr inspect radiograph.dcm
      cxr inspect radiograph.dcm --no-voi --out input.png
      cxr inspect radiograph.png --json

    Exit status: 0 done, 1 refused with the reason on standard error, 2 wrong usage.
    """
    from service.commands.output import require_writable_file
    from service.network.answer import crop_answer
    from service.network.bundle import MANIFEST
    from service.radiograph.reader import reader
    from service.settings import bundle_folder, read_settings

    if out is not None:
        require_writable_file(out)
    settings = read_settings(voi_lut=False if no_voi else None, bundle=bundle)
    with reader(settings).reading_framed(file.read_bytes(), reduce=True) as framed:
        radiograph, model_input, exposure = framed.radiograph, framed.input, framed.exposure
    source, geometry = radiograph.source, model_input.geometry
    judgement = None
    if bundle or (bundle_folder(settings) / MANIFEST).is_file():
        judgement = _judge(settings, model_input, framed.reasons)
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
        "input": judgement and _input(judgement),
        "input_sha256": model_input.sha256,
        "warnings": [*(judgement.warnings if judgement else ()), *framed.warnings],
    }
    if out is not None:
        _write(model_input.pixels[0], out)
    if as_json:
        import json

        click.echo(json.dumps(seen))
    else:
        _print(file, seen)


def _judge(settings: Settings, model_input: ModelInput, exposure: Sequence[Reason]) -> Judgement:
    """Run the network on one image and say how unusual it is."""
    from service.network.predictor import open_predictor

    predictor = open_predictor(settings.model_copy(update={"max_batch": 1, "streams": 1}))
    outputs = predictor.runtime.run(model_input.pixels[None])
    return predictor.gate.judge(outputs.features[0], exposure)


def _input(judgement: Judgement) -> dict[str, object]:
    from service.network.answer import input_answer

    answer = input_answer(judgement).model_dump()
    return {key: value for key, value in answer.items() if value not in (None, [])}


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
