"""Our pixels and scores against TorchXRayVision's own pipeline, file by file.

    CXR_XRAYS=FOLDER python -m bench.upstream [PHANTOMS]

Upstream's way: `load_image` (or `read_xray_dcm`), `XRayCenterCrop`, and the antialiased resize
that its network does for itself, all in [-1024, 1024]. Ours: `decode` and `preprocess`, without
the VOI LUT, which upstream leaves out. CXR_XRAYS names a folder with `samples/`; it may be unset.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from bench.files import chest, dicom, raster, stored
from export.checkpoints.upstream import library
from service.radiograph.decode import decode
from service.radiograph.preprocess import preprocess

_LETTERED = "JPEG, letters"


def demo_network() -> torch.nn.Module:
    """The library's own network with the demo weights."""
    from export.checkpoints.eager import eager_network
    from export.checkpoints.weights import load_demo

    return eager_network(load_demo())


def theirs(path: Path) -> np.ndarray:
    """Upstream's input in [0, 1], (1, 224, 224)."""
    image = library.utils.load_image(str(path))
    image = library.datasets.XRayCenterCrop()(image.reshape(1, *image.shape[-2:]))
    small = torch.nn.functional.interpolate(
        torch.from_numpy(np.ascontiguousarray(image, np.float32))[None],
        size=(224, 224),
        mode="bilinear",
        antialias=True,
    )[0].numpy()
    return (small / 1024 + 1) / 2


def scores(network: torch.nn.Module, pixels: np.ndarray) -> np.ndarray:
    """Upstream's scores of inputs in [0, 1], (n, labels)."""
    with torch.inference_mode():
        parts = [
            network((torch.from_numpy(part).float() * 2 - 1) * 1024).numpy()
            for part in np.array_split(pixels, max(1, len(pixels) // 16))
        ]
    return np.concatenate(parts)


def _phantom_files(count: int, folder: Path) -> list[tuple[str, Path]]:
    """Phantoms of 512 to 3000 pixels, in turn as PNG, JPEG (grey and RGB) and 12-bit DICOM."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        rows, columns = (int(n) for n in rng.integers(512, 3001, 2))
        pixels = chest(1_000_000 + number, rows, columns, opacity=bool(number % 2))
        kind = ("PNG", "JPEG", "JPEG RGB", "DICOM")[number % 4]
        if kind == "DICOM":
            inverted = bool(number // 4 % 2)
            values = stored(1 - pixels if inverted else pixels, 12)
            photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
            data = dicom(values, 12, PhotometricInterpretation=photometric)
        elif kind == "JPEG RGB":
            grey = stored(pixels, 8)
            data = raster(np.repeat(grey[..., None], 3, axis=2), "JPEG", quality=90)
        else:
            data = raster(stored(pixels, 8), kind, **({"quality": 90} if kind == "JPEG" else {}))
        path = folder / f"{number}.{'dcm' if kind == 'DICOM' else kind[:4].strip().lower()}"
        path.write_bytes(data)
        found.append((kind, path))
    return found


def _lettered_files(count: int, folder: Path) -> list[tuple[str, Path]]:
    """JPEG with white lettering and a line, the sharpest edges that a radiograph carries."""
    found = []
    for number in range(count):
        side = 1000 + 100 * number
        image = Image.fromarray(stored(chest(2_000_000 + number, side, side), 8))
        pen = ImageDraw.Draw(image)
        font = ImageFont.load_default(size=side // 22)
        pen.text((side * 0.05, side * 0.05), "PORTABLE L 12:30", fill=255, font=font)
        pen.line((0, side * 0.97, side, side * 0.97), fill=255, width=2)
        path = folder / f"lettered{number}.jpeg"
        path.write_bytes(raster(image, "JPEG", quality=90))
        found.append((_LETTERED, path))
    return found


def main(count: int) -> int:
    """Print the table; 0 where every bound holds."""
    torch.set_num_threads(2)
    network = demo_network()
    pneumonia = list(network.targets).index("Pneumonia")
    with tempfile.TemporaryDirectory() as name:
        files = _phantom_files(count, Path(name))
        files += _lettered_files(count // 10, Path(name))
        if folder := os.environ.get("CXR_XRAYS"):
            files += [("real", path) for path in sorted(Path(folder, "samples").iterdir())]
        rows = []
        for kind, path in files:
            data = path.read_bytes()
            full = preprocess(decode(data, voi=False)).pixels
            made = decode(data, voi=False, reduce=True)
            rows.append((kind, theirs(path), full, preprocess(made).pixels, made.reduction))
    inputs = [np.stack([row[at] for row in rows]) for at in (1, 2, 3)]
    upstream, full, reduced = (scores(network, part)[:, pneumonia] for part in inputs)
    table = Table(
        "files", "decoding", "n", "max |pixel diff.| x 255", "max |score diff.|", "changed", "bound"
    )
    kinds = np.array([row[0] for row in rows])
    fine = True
    for label, at, mine in (("full", 2, full), ("scaled", 3, reduced)):
        for kind in dict.fromkeys(kinds):
            here = kinds == kind
            if label == "scaled":
                here &= np.array([row[4] > 1 for row in rows])
            if not here.any():
                continue
            pixel = np.abs(inputs[at - 1] - inputs[0])[here].max() * 255
            score = np.abs(mine - upstream)[here].max()
            changed = int(((mine > 0.5) != (upstream > 0.5))[here].sum())
            bound = 1 if label == "full" else 2
            if (label, kind) == ("scaled", _LETTERED):
                bound = 12  # what scaled decoding costs at the edges of letters; see raster.py
            fine &= pixel <= bound and changed == 0
            table.add_row(
                kind,
                label,
                str(here.sum()),
                f"{pixel:.4f}",
                f"{score:.1e}",
                str(changed),
                f"{bound}",
            )
    Console(width=110).print(table)
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
