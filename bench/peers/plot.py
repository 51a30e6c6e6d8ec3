"""Throughput against clients, one line a contender: `python -m bench.peers.plot IN.json OUT.svg`.

Run with the peers' interpreter, which has matplotlib.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from bench.peers.results import CLIENTS, Row, rows

# Okabe and Ito's colours, which readers with any colour vision tell apart; a server keeps its
# colour and its marker, a precision its line.
_LOOKS = {
    "cxr serve": ("#000000", "o"),
    "FastAPI": ("#E69F00", "s"),
    "LitServe": ("#56B4E9", "^"),
    "mosec": ("#009E73", "D"),
    "BentoML": ("#D55E00", "v"),
}
_LINES = {"int8": "-", "float32": ":"}


def apart(values: Sequence[float], distance: float) -> list[float]:
    """Move heights up as little as it takes for each to be `distance` from the next, in order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    moved = list(values)
    for lower, upper in pairwise(order):
        moved[upper] = max(moved[upper], moved[lower] + distance)
    return moved


def draw(found: Sequence[Row], script: float | None, out: Path, note: str) -> None:
    """Draw the lines, each named at its right end.

    Args:
        found: What to draw.
        script: Images a second of the seed's script, drawn as a level.
        out: File to write; its ending says the format.
        note: Machine and date.
    """
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    plt.rcParams |= {"svg.hashsalt": "cxr", "font.size": 10, "svg.fonttype": "path"}
    figure, axes = plt.subplots(figsize=(9, 5.4), layout="constrained")
    ends = []
    for row in found:
        colour, marker = _LOOKS[row.server]
        heights = [row.figures["points"][str(count)]["throughput"] for count in CLIENTS]
        style = {"linestyle": _LINES[row.precision], "color": colour, "marker": marker}
        width = 2.6 if row.server == "cxr serve" else 1.6
        axes.plot(CLIENTS, heights, linewidth=width, markersize=5, **style)
        ends.append((row.name, heights[-1], colour))
    if script is not None:
        axes.axhline(script, color="#777777", linewidth=1, linestyle="--")
        ends.append(("script, eager PyTorch", script, "#777777"))
    top = max(height for _, height, _ in ends) * 1.15
    axes.set(xscale="log", ylim=(0, top), xlim=(0.9, 145), xticks=CLIENTS)
    axes.set_xticklabels([str(count) for count in CLIENTS])
    axes.minorticks_off()
    axes.set_xlabel("clients, each waiting for its answer before it asks again")
    axes.set_ylabel("images a second")
    axes.set_title(f"One network, one machine, five ways to serve it\n{note}", loc="left", size=10)
    axes.grid(axis="y", color="#dddddd")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    places = apart([height for _, height, _ in ends], top / 24)
    for (name, _, colour), place in zip(ends, places, strict=True):
        axes.annotate(
            name, (1.01, place / top), xycoords="axes fraction", va="center", color=colour, size=9
        )
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    """Draw what `python -m bench.peers` wrote."""
    source, out = (Path(name) for name in sys.argv[1:])
    report = json.loads(source.read_text())
    script = report.get("script")
    draw(rows(report["turns"]), script and script["throughput"], out, report["note"])


if __name__ == "__main__":
    main()
