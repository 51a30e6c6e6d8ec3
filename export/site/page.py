"""The page of a calibration: before and after, and what a local approval needs."""

from __future__ import annotations

from markupsafe import Markup

from export.evaluation import plots
from export.evaluation.page import page_template
from export.site.records import FittedFinding, Report

TEMPLATE = "page.html.j2"


def write_page(report: Report) -> str:
    """Write the page; everything from outside is escaped, nothing is fetched, no script runs."""
    return page_template("export.site", TEMPLATE).render(report=report, drawn=drawn)


def drawn(finding: FittedFinding) -> dict[str, Markup]:
    """The plots of a finding by name."""
    label, curve = finding.label, finding.decision_curve
    shown = {
        "before": plots.reliability(finding.calibration, label),
        "after": plots.reliability(finding.after.calibration, label),
        "decision": plots.decision_curve(
            {
                "all": [(one.threshold, one.all_positive) for one in curve],
                "raw": [(one.threshold, one.before) for one in curve],
                "thin": [(one.threshold, one.after) for one in curve],
            },
            label,
        ),
    }
    # plots.py escapes the few words that it writes.
    return {name: Markup(svg) for name, svg in shown.items()}  # noqa: S704
