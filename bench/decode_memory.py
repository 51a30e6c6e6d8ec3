"""The memory of decoding, showing and explaining an image beside what is claimed for it.

    python -m bench.decode_memory                       # 20 megapixels
    python -m bench.decode_memory --rows 1500 --columns 2000 --only "PNG, RGB" --json

One row a kind of file and use: what `service.radiograph.peak_memory` and the use claim before
anything is decoded, and the most that the process then took, both in bytes a pixel. Pixels are
noise, which compresses worst. Each runs in a child of its own; the peak is the kernel's (VmHWM,
Linux only).
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import imagecodecs
import numpy as np
from PIL import Image
from pydicom import uid
from rich.console import Console
from rich.table import Table

from bench.files import ENCODERS, deflate, dicom, raster, stored
from service.explain.cam.class_map import ClassMap
from service.explain.cam.request import MapRequest
from service.explain.drawing.figure import draw
from service.explain.drawing.heat_map import BESIDE, rgb
from service.explain.explanation import Explanation, explanation
from service.explain.replies import BESIDE_CAPTURE
from service.network.answer import ModelAnswer
from service.radiograph.encoding import png
from service.radiograph.limits import DecodeLimits
from service.radiograph.memory_budget import Claim, MemoryBudget
from service.radiograph.preprocess import Geometry, preprocess
from service.radiograph.preview import BESIDE as BESIDE_PREVIEW
from service.radiograph.preview import preview
from service.radiograph.reader import RadiographReader
from service.serving.allocator import return_large_arrays

LIMITS = DecodeLimits(bytes=1 << 30, pixels=1 << 30, seconds=600)
_MODEL = ModelAnswer(
    name="demo",
    version="0" * 12,
    weights="demo",
    weights_sha256="0" * 64,
    runtime="openvino",
    precision="int8",
    demo=True,
)
_ENOUGH = 1 << 40

Make = Callable[[], bytes]
Use = Callable[[bytes, RadiographReader], object]


@dataclass(frozen=True)
class Peak:
    """The memory of one use of one file.

    Attributes:
        kind: Of the file.
        use: score, preview, picture or capture.
        claimed: Bytes.
        taken: Bytes beyond what the process held before, at their peak.
    """

    kind: str
    use: str
    claimed: int
    taken: int


def files(rows: int, columns: int) -> dict[str, Make]:
    """A file of each kind that is decoded in a way of its own."""
    draws = np.random.default_rng(1)
    deep = draws.integers(0, 1 << 16, (rows, columns), np.uint16)
    twelve, grey = deep >> 4, (deep >> 8).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    alpha = np.dstack([rgb, 255 - grey])
    signed = stored(twelve / np.float32(4095), 12, signed=True)
    turned = Image.Exif()
    turned[274] = 6

    def of(form: str, pixels: np.ndarray, mode: str | None = None, **options: object) -> Make:
        def make() -> bytes:
            image = Image.fromarray(pixels)
            return raster(image.convert(mode) if mode else image, form, **options)

        return make

    def native(values: np.ndarray, bits: int, **attributes: object) -> Make:
        return lambda: dicom(values, bits, **attributes)

    def packed(syntax: str, values: np.ndarray, bits: int, **attributes: object) -> Make:
        return lambda: dicom(
            values, bits, syntax=syntax, frame=ENCODERS[syntax](values, bits), **attributes
        )

    fast = {"compress_level": 1}
    makes = {
        "PNG, 8 bits": of("PNG", grey, **fast),
        "PNG, 16 bits": of("PNG", deep, **fast),
        "PNG, 1 bit": of("PNG", grey, "1"),
        "PNG, palette": of("PNG", rgb, "P", **fast),
        "PNG, RGB": of("PNG", rgb, **fast),
        "PNG, RGBA": of("PNG", alpha, **fast),
        "PNG, grey and alpha": of("PNG", alpha, "LA", **fast),
        "JPEG, grey": of("JPEG", grey),
        "JPEG, grey, turned": of("JPEG", grey, exif=turned),
        "JPEG, grey, progressive": of("JPEG", grey, progressive=True),
        "JPEG, YCbCr": of("JPEG", rgb),
        "JPEG, YCbCr, progressive": of("JPEG", rgb, progressive=True, subsampling=0),
        "JPEG, CMYK": of("JPEG", rgb, "CMYK"),
        "TIFF, 8 bits": of("TIFF", grey),
        "TIFF, 16 bits": of("TIFF", deep),
        "TIFF, 16 bits, LZW": of("TIFF", deep, compression="tiff_lzw"),
        "TIFF, 16 bits, deflated in one strip": of(
            "TIFF", deep, compression="tiff_adobe_deflate", strip_size=1 << 30
        ),
        "TIFF, RGB, LZW": of("TIFF", rgb, compression="tiff_lzw"),
        "WebP, RGB": of("WEBP", rgb, lossless=True, method=0, quality=0),
        "WebP, RGBA": of("WEBP", alpha, lossless=True, method=0, quality=0),
        "WebP, lossy": of("WEBP", rgb, method=0),
        "JPEG 2000, 8 bits": of("JPEG2000", grey),
        "JPEG 2000, 16 bits": of("JPEG2000", deep),
        "JPEG 2000, RGB": of("JPEG2000", rgb),
        "DICOM, 8 bits": native(grey, 8),
        "DICOM, 16 bits": native(deep, 16),
        "DICOM, 12 bits": native(twelve, 12),
        "DICOM, 12 bits, window": native(twelve, 12, WindowCenter=2000.3, WindowWidth=3000),
        "DICOM, 12 bits, padding": native(twelve, 12, PixelPaddingValue=0),
        "DICOM, 12 bits, overlay in the unused bits": native(
            deep, 12, WindowCenter=2000.3, WindowWidth=3000, PixelPaddingValue=0
        ),
        "DICOM, 12 bits, signed": native(
            signed, 12, RescaleIntercept=-1024, RescaleSlope=1, WindowCenter=0.7, WindowWidth=900
        ),
        "DICOM, big endian": native(deep, 16, syntax=uid.ExplicitVRBigEndian),
        "DICOM, RGB": native(rgb, 8),
        "DICOM, RGB by plane": native(
            rgb, 8, PlanarConfiguration=1, PixelData=np.moveaxis(rgb, -1, 0).tobytes()
        ),
        "DICOM, palette": native(
            grey,
            8,
            PhotometricInterpretation="PALETTE COLOR",
            **{
                name: value
                for colour in ("Red", "Green", "Blue")
                for name, value in (
                    (f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16]),
                    (
                        f"{colour}PaletteColorLookupTableData",
                        (np.arange(256, dtype=np.uint16) << 8).tobytes(),
                    ),
                )
            },
        ),
        "DICOM, YBR 4:2:2": native(
            rgb,
            8,
            PhotometricInterpretation="YBR_FULL_422",
            PixelData=np.hstack(
                [grey.reshape(-1, 2), np.full((grey.size // 2, 2), 128, np.uint8)]
            ).tobytes(),
        ),
        "DICOM, JPEG 2000, RGB": lambda: dicom(
            rgb,
            8,
            syntax=uid.JPEG2000Lossless,
            frame=bytes(
                imagecodecs.jpeg2k_encode(rgb, level=0, reversible=True, codecformat="j2k")
            ),
        ),
        "DICOM, JPEG 2000, 16 bits": packed(uid.JPEG2000Lossless, deep, 16),
        "DICOM, deflated": lambda: deflate(dicom(twelve, 12)),
    }
    for syntax in ENCODERS:
        values, bits = (grey, 8) if syntax == uid.JPEGBaseline8Bit else (twelve, 12)
        makes[f"DICOM, {uid.UID(syntax).name}, {bits} bits"] = packed(syntax, values, bits)
    makes["DICOM, JPEG, RGB"] = packed(
        uid.JPEGBaseline8Bit, rgb, 8, PhotometricInterpretation="YBR_FULL_422"
    )
    return makes


def uses(kind: str) -> dict[str, Use]:
    """What is done with a file of a kind."""
    named: dict[str, Use] = {
        "score": _score,
        "preview": lambda data, reader: preview(
            data, reader, reader.memory.claim(beside=BESIDE_PREVIEW)
        ),
        "picture": _picture,
    }
    if kind.startswith("DICOM"):
        named["capture"] = _capture
    return named


def _score(data: bytes, reader: RadiographReader) -> object:
    with reader.reading(data, reduce=True) as radiograph:
        return preprocess(radiograph)


def _explained(geometry: Geometry) -> Explanation:
    row, column = np.mgrid[:7, :7]
    hot = np.exp(-((row - 4) ** 2 + (column - 2) ** 2) / 3).astype(np.float32)
    request = MapRequest("Pneumonia", 0, "gradcam", "norm5")
    return explanation(request, ClassMap("gradcam", "norm5", hot, 0.5), geometry, (0.4,))


def _picture(data: bytes, reader: RadiographReader) -> object:
    with reader.reading(data, reader.memory.claim(beside=BESIDE)) as radiograph:
        geometry = preprocess(radiograph).geometry
        return png(draw(radiograph, _explained(geometry), _MODEL))


def _capture(data: bytes, reader: RadiographReader) -> object:
    from service.explain.dicom.secondary_capture import secondary_capture
    from service.explain.dicom.study import source_header

    with reader.reading(data, reader.memory.claim(beside=BESIDE_CAPTURE)) as radiograph:
        explained = _explained(preprocess(radiograph).geometry)
        source, pixels = source_header(data), rgb(draw(radiograph, explained, _MODEL))
        del radiograph
        return secondary_capture(source, pixels, explained, _MODEL)


class _Noted(MemoryBudget):
    """Notes the most that is taken of it."""

    def __init__(self) -> None:
        super().__init__(_ENOUGH)
        self.most = 0

    def _take(self, claim: Claim, size: int) -> None:
        super()._take(claim, size)
        self.most = max(self.most, self.taken)


def measure(use: Use, data: bytes) -> tuple[int, int]:
    """Use a file in a child process; what was claimed and what was taken, in bytes."""
    theirs, ours = os.pipe()
    if not (child := os.fork()):
        budget = _Noted()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on; see proc(5)
        before = _resident("VmRSS")
        try:
            use(data, RadiographReader(LIMITS, voi=True, ages=None, memory=budget))
            result = {"claimed": budget.most, "taken": _resident("VmHWM") - before}
        except Exception as error:
            result = {"error": repr(error)}
        os.write(ours, json.dumps(result).encode())
        os._exit(0)
    os.close(ours)
    with os.fdopen(theirs, "rb") as said:
        result = json.loads(said.read())
    os.waitpid(child, 0)
    if "error" in result:
        raise click.ClickException(result["error"])
    return result["claimed"], result["taken"]


def _resident(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    raise KeyError(name)


def peaks(
    rows: int, columns: int, kinds: Collection[str] = (), used: Collection[str] = ()
) -> Iterator[Peak]:
    """Measure kinds of files and uses of them, all where none is named."""
    return_large_arrays()
    small = files(96, 128)
    for kind, make in files(rows, columns).items():
        if kinds and kind not in kinds:
            continue
        reader = RadiographReader(LIMITS, voi=True, ages=None, memory=MemoryBudget(_ENOUGH))
        data = make()
        for use, run in uses(kind).items():
            if used and use not in used:
                continue
            run(small[kind](), reader)  # imports what it needs, which is no part of an image
            yield Peak(kind, use, *measure(run, data))


@click.command()
@click.option("--rows", default=4000, show_default=True)
@click.option("--columns", default=5000, show_default=True)
@click.option("--only", "kinds", multiple=True, help="This kind of file; several may be given.")
@click.option("--use", "used", multiple=True, help="This use; several may be given.")
@click.option("--json", "as_json", is_flag=True)
def main(
    rows: int, columns: int, kinds: tuple[str, ...], used: tuple[str, ...], as_json: bool
) -> None:
    """Measure and print; exit status 1 where more was taken than was claimed."""
    measured = []
    table = Table("file", "use", "claimed, bytes a pixel", "taken", title=f"{rows} x {columns}")
    for peak in peaks(rows, columns, kinds, used):
        measured.append(peak)
        each = [f"{size / (rows * columns):.1f}" for size in (peak.claimed, peak.taken)]
        table.add_row(peak.kind, peak.use, *each, style="red" if peak.taken > peak.claimed else "")
    if as_json:
        click.echo(json.dumps([asdict(peak) for peak in measured]))
    else:
        Console(width=110).print(table)
    raise SystemExit(any(peak.taken > peak.claimed for peak in measured))


if __name__ == "__main__":
    main()
