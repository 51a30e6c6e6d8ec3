"""Weights by name or file: found, verified, and only then read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from export import checkpoint
from export.errors import WeightsRefused
from export.upstream import OFFICIAL

DEMO_CHECKPOINT = Path(__file__).resolve().parent.parent / "models" / "demo.safetensors"
DEMO_SHA256 = {
    "demo.safetensors": "3ca767d1e3b5df407569cfa7ace32d3acc2719b53c3d856c34da551cfd903195",
    "demo.json": "16c9d14a09138cfde04402967222bf64afe60b4c056612e348ee1a44b4322a1b",
}
DEMO_AGES = (1, 5)
"""Ages in years of the children whose radiographs trained the demo weights."""


@dataclass(frozen=True, eq=False)
class Weights:
    """A frozen checkpoint that was verified, with all that is known of it.

    Attributes:
        name: "demo", an official name, or the file's name without its suffix.
        source: Where they come from.
        url: Where they were published, None for those that were not.
        licence: The terms, one line.
        sha256: Hex digest of the original file, before any conversion.
        state: float32 tensors under TorchXRayVision's names, without `num_batches_tracked`.
        labels: 18, "" where these weights predict nothing.
        operating_points: 18 probabilities in (0, 1), NaN where there is none.
        demo: Whether they only serve to show the software.
        training_ages: Youngest and oldest patient they were trained on, in years; None where
            that is not known.
    """

    name: str
    source: Literal["demo", "official", "file"]
    url: str | None
    licence: str
    sha256: str
    state: Mapping[str, torch.Tensor]
    labels: tuple[str, ...]
    operating_points: tuple[float, ...]
    demo: bool = False
    training_ages: tuple[int, int] | None = None


def load_weights(spec: str) -> Weights:
    """Find, verify and read weights."""
    if spec == "demo":
        return load_demo()
    raise WeightsRefused(f'"{spec}" is not known; there are: demo, {", ".join(OFFICIAL)}.')


def load_demo(path: Path = DEMO_CHECKPOINT) -> Weights:
    """The embedded demonstration weights.

    Args:
        path: The checkpoint; its report lies beside it.

    Raises:
        WeightsRefused: A file is missing or is not the one that belongs to this version.
    """
    files = {part: path.with_suffix(part) for part in (".safetensors", ".json")}
    data = {part: checkpoint.read_bytes(file) for part, file in files.items()}
    for part, content in data.items():
        digest = hashlib.sha256(content).hexdigest()
        if digest != DEMO_SHA256["demo" + part]:
            raise WeightsRefused(
                f"{files[part]} has the SHA-256 {digest}, expected {DEMO_SHA256['demo' + part]}."
            )
    read = checkpoint.read_safetensors(data[".safetensors"], "demo")
    report = json.loads(data[".json"])
    return Weights(
        name="demo",
        source="demo",
        url=None,
        licence="Apache-2.0; trained on radiographs of Kermany et al. 2018 (CC BY 4.0)",
        sha256=DEMO_SHA256["demo.safetensors"],
        state=read.state,
        labels=checkpoint.parse_labels(report["labels"], "demo"),
        operating_points=checkpoint.parse_operating_points(report["op_threshs"], "demo"),
        demo=True,
        training_ages=DEMO_AGES,
    )
