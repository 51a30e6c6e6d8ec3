"""Rectangles of an image and the margins around them, in pixels."""

from __future__ import annotations

from typing import NamedTuple


class Margins(NamedTuple):
    """How wide the margins of an image are at each of its edges."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def in_words(self) -> str:
        """Name each edge that has a margin: "3 pixels at the left and 5 pixels at the top"."""
        edges = [f"{width} pixels at the {edge}" for edge, width in self._asdict().items() if width]
        return " and ".join([", ".join(edges[:-1]), edges[-1]] if len(edges) > 1 else edges)


NO_MARGINS = Margins(0, 0, 0, 0)


class Rectangle(NamedTuple):
    """A rectangle of an image; the column `right` and the row `bottom` lie outside of it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def area(self) -> int:
        """Pixels inside; 0 where there are none."""
        return max(0, self.width) * max(0, self.height)

    def within(self, margins: Margins) -> Rectangle:
        """Leave margins out."""
        return Rectangle(
            self.left + margins.left,
            self.top + margins.top,
            self.right - margins.right,
            self.bottom - margins.bottom,
        )

    def common(self, other: Rectangle) -> Rectangle:
        """The part that lies in another one too; of no area where there is none."""
        return Rectangle(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )
