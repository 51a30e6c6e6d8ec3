"""Labelled radiographs: folders named NORMAL and PNEUMONIA, or a table in CSV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from export.errors import DatasetRefused

PNEUMONIA = "Pneumonia"
FOLDERS = {"NORMAL": False, "PNEUMONIA": True}
"""Folder names that label what lies in them, at any depth, in any case."""


@dataclass(frozen=True)
class LabelledImage:
    """One file and what is known of it.

    Attributes:
        name: Path relative to the dataset, with forward slashes; what reports show.
        path: Where it is.
        labels: Pathology to whether it shows it; one that is not known is left out.
        groups: Column to value, "" where the table leaves it blank.
    """

    name: str
    path: Path
    labels: Mapping[str, bool]
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """What is to be evaluated.

    Attributes:
        name: Name of the folder or table, without its path.
        kind: Where the labels come from.
        images: In the order in which they are scored: folders by name, tables as written.
        pathologies: That are labelled, in the order of the columns.
        left_out: What was not used, and why.
    """

    name: str
    kind: Literal["folders", "table"]
    images: tuple[LabelledImage, ...]
    pathologies: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def read_folders(root: Path) -> Dataset:
    """Take every file below a folder whose path says NORMAL or PNEUMONIA.

    The rest of the path is a subgroup: in `A/NORMAL/1.png` and `B/NORMAL/1.png` the folders A
    and B are told apart. Hidden files are passed over.

    Raises:
        DatasetRefused: No file lies in such a folder.
    """
    images, unlabelled = [], 0
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        relative = path.relative_to(root)
        if any(part.startswith(".") for part in relative.parts):
            continue
        folders = relative.parts[:-1]
        named = {part.upper() for part in folders} & FOLDERS.keys()
        if len(named) != 1:
            unlabelled += 1
            continue
        rest = "/".join(part for part in folders if part.upper() not in FOLDERS)
        images.append(
            LabelledImage(
                relative.as_posix(), path, {PNEUMONIA: FOLDERS[named.pop()]}, {"folder": rest}
            )
        )
    if not images:
        raise DatasetRefused(
            f"{root} holds no file in a folder named {' or '.join(FOLDERS)}; a CSV table can "
            "label files that lie otherwise (cxr evaluate --help)"
        )
    left_out = (
        (f"{unlabelled} files that lie in no folder named {' or '.join(FOLDERS)}, or in both",)
        if unlabelled
        else ()
    )
    return Dataset(root.resolve().name, "folders", tuple(images), (PNEUMONIA,), left_out)
