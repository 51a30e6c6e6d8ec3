"""What is known of a set of weights without having them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Areas under ROC curves that the weights' makers published.

    Attributes:
        data: What they were measured on.
        areas: Finding to area, as many digits as were published.
    """

    data: str
    areas: Mapping[str, float]


@dataclass(frozen=True)
class Facts:
    """What a card says that neither the bundle nor an evaluation knows.

    Attributes:
        intended: What the weights are for.
        not_intended: What they are not for.
        training: How they came to be, a paragraph an entry.
        published: Figures of their makers; empty where there are none.
        published_in: Where those are, and how they were measured.
        remarks: On the figures, a paragraph an entry.
        failures: What is known to go wrong.
        attribution: Whose work and data it is, a paragraph an entry.
    """

    intended: str
    not_intended: str
    training: tuple[str, ...]
    published: tuple[Published, ...]
    published_in: str
    remarks: tuple[str, ...]
    failures: tuple[str, ...]
    attribution: tuple[str, ...]
