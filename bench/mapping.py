"""What the grey-level mapping does to scores: the evidence for applying the window by default.

    CXR_XRAYS=FOLDER python -m bench.mapping

First the real chest radiograph of pydicom-data in every syntax, with and without its window; then
labelled radiographs (`CXR_XRAYS/dev`) put into the middle of a wider stored range with a window
that names it, as detectors do, and scored with the window, without it, and as they were.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.files import dicom
from bench.upstream import demo_network, scores
from service.radiograph.decode import decode
from service.radiograph.preprocess import preprocess


def _input(data: bytes, voi: bool) -> np.ndarray:
    return preprocess(decode(data, voi=voi, body_part="warn")).pixels


def real(network: torch.nn.Module, console: Console) -> None:
    """Print the scores of the real chest radiograph and the leg."""
    import data_store

    at = list(network.targets).index("Pneumonia")
    table = Table("file", "syntax", "window", "no window", "warnings")
    for path in sorted((Path(data_store.__file__).parent / "data").glob("RG[13]_*.dcm")):
        data = path.read_bytes()
        made = decode(data, body_part="warn")
        found = scores(network, np.stack([_input(data, True), _input(data, False)]))[:, at]
        table.add_row(
            path.name,
            made.source.transfer_syntax,
            *(f"{score:.6f}" for score in found),
            str(len(made.warnings)),
        )
    console.print(table)


def simulated(network: torch.nn.Module, folder: Path, console: Console) -> None:
    """Print how often a decision is right with the window, without it, and as displayed."""
    at = list(network.targets).index("Pneumonia")
    columns: dict[str, list[np.ndarray]] = {"as displayed": [], "window": [], "no window": []}
    labels = []
    for label, name in enumerate(("NORMAL", "PNEUMONIA")):
        for path in sorted((folder / name).glob("*")):
            shown = np.asarray(Image.open(path).convert("L"))
            stored = (6000 + shown.astype(np.uint32) * 16000 // 255).astype(np.uint16)
            data = dicom(stored, 15, WindowCenter=14000, WindowWidth=16001)
            columns["as displayed"].append(_input(path.read_bytes(), True))
            columns["window"].append(_input(data, True))
            columns["no window"].append(_input(data, False))
            labels.append(label)
    truth = np.array(labels)
    table = Table("pixels", "n", "right decisions", "mean of input", "deviation of input")
    for name, inputs in columns.items():
        pixels = np.stack(inputs)
        right = float(((scores(network, pixels)[:, at] > 0.5) == truth).mean())
        table.add_row(
            name, str(len(truth)), f"{right:.3f}", f"{pixels.mean():.3f}", f"{pixels.std():.3f}"
        )
    console.print(table)


if __name__ == "__main__":
    torch.set_num_threads(2)
    out, model = Console(width=110), demo_network()
    real(model, out)
    if found := os.environ.get("CXR_XRAYS"):
        simulated(model, Path(found, "dev"), out)
