"""What is written beneath an overlay: target, score, legend, model, notices."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from service.explain.drawing.colour_map import COLOURS
from service.explain.drawing.heat_map import OPACITY

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_PAPER, _INK, _WARNING = (16, 16, 16), (235, 235, 235), (255, 190, 80)


@dataclass(frozen=True)
class Caption:
    """Texts of a caption.

    Attributes:
        headline: Target and score, such as "Pneumonia: score 0.83 (operating point 0.5)".
        lines: How the map was made and by which model, one line each.
        notices: What the reader must not miss, such as the demo notice or why there is no map.
        legend: Whether there is a map whose colours need explaining.
    """

    headline: str
    lines: tuple[str, ...]
    notices: tuple[str, ...] = ()
    legend: bool = True


def caption_panel(width: int, caption: Caption, opacity: float = OPACITY) -> Image.Image:
    """Draw what stands beneath an overlay.

    Type grows with the picture between 11 and 64 pixels, and lines are broken to its width, so
    everything can be read from a thumbnail's 300 pixels to a detector's 4000.

    Args:
        width: Of the overlay, in pixels.
        caption: What to write.
        opacity: In [0, 1], that the overlay was drawn with; the legend shows the same mixture.

    Returns:
        Mode "RGB", as wide as the overlay.
    """
    size = min(max(width // 60, 11), 64)
    margin, leading = size, round(size * 1.45)
    room = width - 2 * margin
    head, body = ImageFont.load_default(round(size * 1.25)), ImageFont.load_default(size)
    rows = [(line, head, _INK) for line in _broken(caption.headline, head, room)]
    for colour, texts in ((_INK, caption.lines), (_WARNING, caption.notices)):
        rows += [(line, body, colour) for text in texts for line in _broken(text, body, room)]
    bar = 3 * size if caption.legend else 0
    height = 2 * margin + len(rows) * leading + leading // 2 + bar
    panel = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(panel)
    y = margin
    for text, font, colour in rows:
        draw.text((margin, y), text, fill=colour, font=font)
        y += leading + (leading // 4 if font is head else 0)
    if caption.legend:
        _legend(panel, (margin, y + leading // 4, room, size), body, opacity)
    return panel


def _legend(
    page: Image.Image,
    at: tuple[int, int, int, int],
    font: _Font,
    opacity: float,
) -> None:
    """Draw the colour map over mid-grey, mixed as in the overlay, with its two ends named.

    Args:
        page: To draw on.
        at: Left, top, width and height of the bar.
        font: Of the two words.
        opacity: As in `caption_panel`.
    """
    left, top, width, height = at
    width = min(width, 24 * height)
    ramp = Image.linear_gradient("L").transpose(Image.Transpose.ROTATE_90).resize((width, height))
    cover = ramp.point([round(level * opacity) for level in range(256)])
    ramp.putpalette(COLOURS.tobytes())
    bar = Image.new("RGB", (width, height), (128, 128, 128))
    bar.paste(ramp.convert("RGB"), (0, 0), cover)
    page.paste(bar, (left, top))
    draw = ImageDraw.Draw(page)
    below = top + round(1.3 * height)
    draw.text((left, below), "no evidence", fill=_INK, font=font)
    draw.text((left + width, below), "most evidence", fill=_INK, font=font, anchor="ra")


def _broken(text: str, font: _Font, room: int) -> list[str]:
    """Break a text into lines no wider than `room` pixels; a word that is wider is cut."""
    words = text.split()
    if font.getlength(" ".join(words)) <= room:  # most do, and measuring word by word takes longer
        return [" ".join(words)]
    lines: list[str] = []
    line = ""
    for word in words:
        longer = f"{line} {word}".strip()
        if font.getlength(longer) <= room:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while font.getlength(line) > room and len(line) > 1:
            cut = _fitting(line, font, room)
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line]


def _fitting(word: str, font: _Font, room: int) -> int:
    """Number of a word's letters that fit, at least 1."""
    return next((n for n in range(len(word), 1, -1) if font.getlength(word[:n]) <= room), 1)
