"""parity.html: what parity.json says, for people, with a plot of eager against variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from export.bundle.drift import Drift
from service.network.bundle import SpeedTable
from service.network.scores import sigmoid

SIDE = 260
EDGE = 34

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; background: #fff }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #d0d7de; text-align: right }
th:first-child, td:first-child { text-align: left }
.plots { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0 }
figcaption { font-size: 13px }
text { font: 11px system-ui, sans-serif; fill: #57606a }
.out { color: #a40e26 }
"""


@dataclass(frozen=True, eq=False)
class VariantReport:
    """One variant on the page.

    Attributes:
        name: The variant.
        logits: float32 (N, 18), its answers on the images.
        drift: Its differences from the library by group of images.
        kept_out: Why it was not published; None where it was.
    """

    name: str
    logits: np.ndarray
    drift: Sequence[Drift]
    kept_out: str | None


def write_page(
    title: str,
    reference: np.ndarray,
    named: Sequence[int],
    reports: Sequence[VariantReport],
    skipped: Mapping[str, str],
    speed: SpeedTable,
    chosen: str,
) -> str:
    """Write the page; it holds no script and fetches nothing.

    Args:
        title: Name and digest of the weights.
        reference: float32 (N, 18), the library's logits.
        named: Outputs that the weights name.
        reports: One per variant that was compared.
        skipped: Variants that were not built, and why.
        speed: What the published ones were measured at.
        chosen: The variant that is served.
    """
    plots = "".join(_plot(report, reference, named) for report in reports)
    notes = "".join(
        f'<li class="out">{escape(name)} is not in the bundle: {escape(reason)}</li>'
        for name, reason in {
            **{report.name: report.kept_out for report in reports if report.kept_out},
            **skipped,
        }.items()
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Parity of {escape(title)}</title>
<style>{_STYLE}</style>
<h1>Parity of {escape(title)}</h1>
<p>Every variant against TorchXRayVision's own network in eager PyTorch, over the labels that
the weights name. Served: <strong>{escape(chosen)}</strong>.</p>
<ul>{notes}</ul>
{_drift_table(reports)}
<h2>Eager against variant</h2>
<p>Each point is one probability. On the line, both agree.</p>
<div class="plots">{plots}</div>
<h2>Speed</h2>
<p>{escape(speed.machine.processor)}, {speed.machine.threads} threads.</p>
{_speed_table(speed)}
</html>
"""


def _drift_table(reports: Sequence[VariantReport]) -> str:
    head = (
        "variant",
        "images",
        "|probability| max",
        "99 %",
        "mean",
        "|score| max",
        "99 %",
        "|logit| max",
        "noise of the features",
        "changed decisions",
        "AUC difference (95 %)",
    )
    rows = []
    for report in reports:
        for drift in report.drift:
            area = drift.auc
            rows.append(
                (
                    f"{report.name}, {drift.images} {drift.group}",
                    *(str(drift.images),),
                    f"{drift.max_probability:.2g}",
                    f"{drift.p99_probability:.2g}",
                    f"{drift.mean_probability:.2g}",
                    f"{drift.max_score:.2g}",
                    f"{drift.p99_score:.2g}",
                    f"{drift.max_logit:.2g}",
                    f"{drift.feature_noise:.2g}",
                    str(len(drift.changed)),
                    f"{area.difference:+.4f} ({area.low:+.4f} to {area.high:+.4f})"
                    if area
                    else "no labels",
                )
            )
    return _table(head, rows)


def _speed_table(speed: SpeedTable) -> str:
    return _table(
        ("variant", "batch", "images/s", "ms a run"),
        [
            (row.variant, str(row.batch), f"{row.images_per_second:.1f}", f"{row.milliseconds:.1f}")
            for row in speed.measurements
        ],
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    return f"<table>\n<tr>{top}</tr>\n{body}</table>"


def _plot(report: VariantReport, reference: np.ndarray, named: Sequence[int]) -> str:
    """A scatter plot of probabilities as SVG, the library's to the right, the variant's up."""
    across = sigmoid(reference)[:, named].ravel()
    up = sigmoid(report.logits)[:, named].ravel()
    span = SIDE - EDGE
    points = "".join(
        f'<circle cx="{EDGE + x * span:.1f}" cy="{(1 - y) * span:.1f}" r="2"/>'
        for x, y in zip(across, up, strict=True)
    )
    ticks = "".join(
        f'<text x="{EDGE + at * span:.0f}" y="{span + 14}" text-anchor="middle">{at:g}</text>'
        f'<text x="{EDGE - 4}" y="{(1 - at) * span + 4:.0f}" text-anchor="end">{at:g}</text>'
        for at in (0, 0.5, 1)
    )
    name = escape(report.name)
    return f"""<figure>
<svg width="{SIDE + 8}" height="{SIDE}" viewBox="0 -6 {SIDE + 8} {SIDE}" role="img"
 aria-label="Probabilities of {name} against eager">
<rect x="{EDGE}" y="0" width="{span}" height="{span}" fill="none" stroke="#d0d7de"/>
<line x1="{EDGE}" y1="{span}" x2="{SIDE}" y2="0" stroke="#8c959f"/>
<g fill="#0969da" fill-opacity=".5">{points}</g>{ticks}
<text x="{EDGE + span / 2}" y="{span + 27}" text-anchor="middle">eager</text>
</svg>
<figcaption>{name}</figcaption>
</figure>
"""
