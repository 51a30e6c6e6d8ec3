"""Whether a map lands where the opacity is, whatever the shape and size of the file.

    python -m bench.geometry [BUNDLE]

An opacity is drawn at known places of lungs without one; the radiograph is laid into square,
portrait and landscape files of 300 to 3000 pixels, centred and off-centre (so that the crop
cuts some of it off), and stored in each of EXIF's eight orientations. Each file is decoded,
preprocessed and explained as the service does it. Prints the largest distance of the peak from
the truth in sides of the crop; 1/7, one cell of the last layer, is the limit.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from export.demo.phantom import make_phantom
from service.explain.cam.class_map import class_activation_map
from service.explain.hotspot import locate
from service.network.bundle import open_bundle
from service.network.runtime import Runtime, load_runtime
from service.radiograph.decode import decode
from service.radiograph.preprocess import preprocess

LIMIT = 1 / 7
SIZES = (300, 750, 1500, 3000)
PLACES = ((0.30, 0.42), (0.68, 0.38), (0.31, 0.62), (0.70, 0.60))
"""Column and row of an opacity's centre, in sides of the radiograph: four places in the lungs."""

LAYOUTS = {
    "square": (1.0, 1.0, 0.0, 0.0),
    "portrait": (1.0, 1.4, 0.0, 0.0),
    "landscape": (1.5, 1.0, 0.0, 0.0),
    "portrait, cropped": (1.0, 1.3, 0.0, 0.1),
    "landscape, cropped": (1.3, 1.0, -0.1, 0.0),
}
"""Width and height of the file, and how far the radiograph lies off its centre, in its sides."""

_UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How the pixels must be stored so that an orientation tag (TIFF 6.0, 274) turns them upright."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A radiograph in a file, and where its opacity is.

    Attributes:
        name: What the file is like.
        image: Mode "L", upright.
        column: Of the opacity's centre, in pixels of the upright image.
        row: Likewise.
        orientation: EXIF orientation that the file is to be stored in.
    """

    name: str
    image: Image.Image
    column: float
    row: float
    orientation: int = 1

    def file(self) -> bytes:
        """The file: PNG if upright, JPEG with its tag otherwise."""
        buffer = io.BytesIO()
        if self.orientation == 1:
            self.image.save(buffer, "PNG", compress_level=1)
            return buffer.getvalue()
        exif = Image.Exif()
        exif[274] = self.orientation
        stored = self.image.transpose(_UNDO[self.orientation])
        stored.save(buffer, "JPEG", quality=95, exif=exif)
        return buffer.getvalue()


def radiograph(seed: int, place: tuple[float, float], side: int) -> Image.Image:
    """A phantom without an opacity of its own, and a round one drawn at a place."""
    pixels = make_phantom(seed, opacity=False).pixels
    y, x = (np.mgrid[:224, :224] + 0.5) / 224
    distance = (x - place[0]) ** 2 + (y - place[1]) ** 2
    cloud = 0.55 * np.exp(-distance / (2 * 0.065**2))
    levels = np.rint(255 * np.clip(pixels + cloud * (1 - pixels), 0, 1)).astype(np.uint8)
    return Image.fromarray(levels).resize((side, side), Image.Resampling.BICUBIC)


def scene(
    layout: str, size: int, place: tuple[float, float], seed: int, orientation: int = 1
) -> Scene:
    """Lay a radiograph into a file whose shorter side is `size`; its edge pixels fill the rest."""
    wide, high, right, down = LAYOUTS[layout]
    drawn = radiograph(seed, place, size)
    width, height = round(wide * size), round(high * size)
    left = (width - size) // 2 + round(right * size)
    top = (height - size) // 2 + round(down * size)
    columns = np.clip(np.arange(width) - left, 0, size - 1)
    rows = np.clip(np.arange(height) - top, 0, size - 1)
    image = Image.fromarray(np.asarray(drawn)[rows[:, None], columns])
    at = (left + place[0] * size, top + place[1] * size)
    name = f"{layout}, {width} x {height}, EXIF {orientation}"
    return Scene(name, image, *at, orientation)


def scenes(sizes: Sequence[int] = SIZES) -> Iterator[Scene]:
    """Every layout, size and place upright, and every EXIF orientation of the portrait layouts."""
    for layout in LAYOUTS:
        for size in sizes:
            for seed, place in enumerate(PLACES):
                yield scene(layout, size, place, seed)
    for orientation in _UNDO:
        for layout in ("portrait", "portrait, cropped"):
            for seed, place in enumerate(PLACES):
                yield scene(layout, 600, place, seed, orientation)


def miss(drawn: Scene, runtime: Runtime, output: int) -> float:
    """Distance of the map's peak from the opacity's centre, in sides of the crop."""
    model_input = preprocess(decode(drawn.file()))
    outputs = runtime.run(model_input.pixels[None])
    found = class_activation_map(outputs.cams[0], outputs.logits[0], output)
    place = locate(found.normalised(), model_input.geometry)
    away = np.hypot(place.column + 0.5 - drawn.column, place.row + 0.5 - drawn.row)
    return float(away / model_input.geometry.side)


def main(arguments: Sequence[str]) -> None:
    bundle = open_bundle(Path(arguments[0] if arguments else "models/demo"))
    runtime = load_runtime(bundle.folder, bundle.manifest.variant("onnxruntime", "float32"))
    output = bundle.manifest.labels.index("Pneumonia")
    worst: dict[str, float] = {}
    misses = []
    for drawn in scenes():
        misses.append(miss(drawn, runtime, output))
        worst[drawn.name] = max(worst.get(drawn.name, 0.0), misses[-1])
    for name, value in worst.items():
        print(f"{name:45} {value:.3f}{'  OVER' if value > LIMIT else ''}")
    over = sum(value > LIMIT for value in misses)
    print(f"{len(misses)} images, {over} over {LIMIT:.3f} sides, largest miss {max(misses):.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
