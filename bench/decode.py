"""From bytes to the network's input: ours, plain Pillow and upstream, in one run.

    python -m bench.decode

Plain Pillow is what most projects write: open, convert to 8-bit grey, resize with the bilinear
filter, divide by 255; 16-bit files keep their depth (`convert("F")`, as convert("L") would clip
them at 255). Pillow reads no DICOM, so it is given the same pixels in the nearest file that it
reads: an uncompressed 16-bit TIFF, a JPEG 2000 codestream. Upstream is `load_image` (skimage) or
`read_xray_dcm` (pydicom), `XRayCenterCrop` and the antialiased resize, with one thread. Best of
several, interleaved: processor milliseconds, and ratios of processor and of wall time, which differ
where a decoder uses threads (JPEG 2000).
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import torch
from PIL import Image
from pydicom import uid
from rich.console import Console
from rich.table import Table

from bench.files import ENCODERS, chest, dicom, raster, stored
from bench.upstream import theirs
from service.radiograph.decode import decode
from service.radiograph.preprocess import preprocess


def _pillow_8(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data)).convert("L")
    return np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR), np.float32) / 255


def _pillow_16(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data)).convert("F")
    return np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR), np.float32) / 65535


def _cases(side: int) -> dict[str, tuple[bytes, bytes, Callable[[bytes], np.ndarray]]]:
    """Ours and upstream's file, Pillow's file, and Pillow's way to read it."""
    pixels = chest(7, side, side)
    grey, deep, twelve = (stored(pixels, bits) for bits in (8, 16, 12))
    colour = np.repeat(grey[..., None], 3, axis=2)
    wavelet = ENCODERS[uid.JPEG2000Lossless](twelve, 12)
    lossy = ENCODERS[uid.JPEG2000](twelve, 12)
    smooth = stored(np.asarray(Image.fromarray(chest(7, 640, 640)).resize((side, side))), 8)
    files: dict[str, tuple[bytes, bytes, Callable[[bytes], np.ndarray]]] = {}
    for name, made in (
        ("JPEG, RGB, quality 90", raster(colour, "JPEG", quality=90)),
        ("JPEG, RGB, quality 75", raster(colour, "JPEG", quality=75)),
        ("JPEG, grey, quality 90", raster(grey, "JPEG", quality=90)),
        ("JPEG, grey, quality 75", raster(grey, "JPEG", quality=75)),
        ("JPEG, grey, quality 90, less noise", raster(smooth, "JPEG", quality=90)),
        ("PNG", raster(grey, "PNG")),
    ):
        files[name] = (made, made, _pillow_8)
    png = raster(deep, "PNG")
    files["PNG, 16 bits"] = (png, png, _pillow_16)
    files["DICOM, 12 bits"] = (dicom(twelve, 12), raster(twelve, "TIFF"), _pillow_16)
    windowed = dicom(twelve, 12, WindowCenter=2000, WindowWidth=3000)
    files["DICOM, 12 bits, window"] = (windowed, raster(twelve, "TIFF"), _pillow_16)
    files["DICOM, JPEG 2000 lossless, 12 bits"] = (
        dicom(twelve, 12, syntax=uid.JPEG2000Lossless, frame=wavelet),
        wavelet,
        _pillow_16,
    )
    files["DICOM, JPEG 2000 lossy, 12 bits"] = (
        dicom(twelve, 12, syntax=uid.JPEG2000, frame=lossy),
        lossy,
        _pillow_16,
    )
    return files


def _milliseconds(ways: list[Callable[[], object]], budget: float) -> np.ndarray:
    """Best processor and wall time of each, taking turns until the budget in seconds is spent.

    Returns:
        Milliseconds, (ways, 2).
    """
    best = np.full((len(ways), 2), np.inf)
    end = time.perf_counter() + budget
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        for at, way in enumerate(ways):
            busy, start = time.process_time(), time.perf_counter()
            way()
            took = time.process_time() - busy, time.perf_counter() - start
            best[at] = np.minimum(best[at], took)
        rounds += 1
    return best * 1000


def main(side: int) -> None:
    """Print the table for square images of `side` pixels."""
    torch.set_num_threads(1)
    table = Table(
        f"{side} x {side}",
        "MB",
        "ours",
        "Pillow",
        "upstream",
        "/Pillow",
        "wall",
        "/upstream",
        "wall",
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, (data, plain, pillow) in _cases(side).items():
            path = Path(folder, f"file.{name.split(',')[0].lower()}")
            path.write_bytes(data)

            def upstream(path: Path = path, name: str = name, data: bytes = data) -> object:
                if name != "PNG, 16 bits":
                    return theirs(path)
                # load_image takes 8 bits alone: the same steps, with 65535 as white.
                import skimage.io

                return _torch_resize(skimage.io.imread(io.BytesIO(data)).astype(np.float32) / 65535)

            best = _milliseconds(
                [
                    lambda data=data: preprocess(decode(data, reduce=True)),
                    lambda plain=plain, pillow=pillow: pillow(plain),
                    upstream,
                ],
                4.0,
            )
            busy, wall = best[0] / best[1], best[0] / best[2]
            table.add_row(
                name,
                f"{len(data) / 1e6:.2f}",
                *(f"{milliseconds:.1f}" for milliseconds in best[:, 0]),
                *(f"{busy[0]:.2f}", f"{busy[1]:.2f}", f"{wall[0]:.2f}", f"{wall[1]:.2f}"),
            )
    console = Console(width=120)
    console.print(table)
    console.print(f"Pillow {Image.__version__}, {imagecodecs.version(str).split(',')[0]}")


def _torch_resize(image: np.ndarray) -> np.ndarray:
    made: np.ndarray = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], size=(224, 224), mode="bilinear", antialias=True
    ).numpy()
    return made


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
