"""Throughput against cores and image size: `python -m bench.scaling_plot IN.json OUT.svg`.

Run with the peers' interpreter, which has matplotlib.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_COLOURS = ("#000000", "#0072B2", "#D55E00")  # Okabe and Ito
_MARKERS = ("o", "s", "^")


def _cores(axes: Any, cores: dict[str, Any]) -> None:
    counts = [int(count) for count in cores]
    names = [name for name in cores["1"] if not name.startswith(("generator", "failed"))]
    for name, colour, marker in zip(reversed(names), _COLOURS, _MARKERS, strict=True):
        heights = [cores[count][name] for count in cores]
        axes.plot(counts, heights, color=colour, marker=marker, label=name)
        linear = [heights[0] * count for count in counts]
        axes.plot(counts, linear, color=colour, linewidth=0.8, linestyle=":")
    axes.plot([], [], color="#777777", linewidth=0.8, linestyle=":", label="linear")
    axes.set(xlabel="cores", ylabel="images a second", xticks=counts)


def _sizes(axes: Any, sizes: dict[str, Any]) -> None:
    for (kind, by_side), colour, marker in zip(sizes.items(), _COLOURS[1:], _MARKERS, strict=False):
        sides = [int(side) for side in by_side]
        served = [load["throughput"] for load in by_side.values()]
        bare = [load["without_http"] for load in by_side.values()]
        axes.plot(sides, served, color=colour, marker=marker, label=f"service, {kind}")
        axes.plot(sides, bare, color=colour, linestyle="--", linewidth=1, label=f"no HTTP, {kind}")
    axes.set(xscale="log", xlabel="side of the image, pixels", xticks=sides)
    axes.set_xticklabels([str(side) for side in sides])
    axes.minorticks_off()


def main() -> None:
    """Draw what `python -m bench.scaling` wrote."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    source, out = (Path(name) for name in sys.argv[1:])
    report = json.loads(source.read_text())
    plt.rcParams |= {"svg.hashsalt": "cxr", "font.size": 10, "svg.fonttype": "path"}
    figure, both = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    _cores(both[0], report["cores"])
    _sizes(both[1], report["sizes"])
    for axes in both:
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=9)
        axes.grid(axis="y", color="#dddddd")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.suptitle(report["note"], size=10)
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
