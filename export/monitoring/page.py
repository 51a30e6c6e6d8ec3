"""The pages of comparisons."""

from __future__ import annotations

from export.evaluation.page import page_template
from export.monitoring.records import Report, ShadowReport

TEMPLATE = "page.html.j2"
SHADOW_TEMPLATE = "shadow.html.j2"


def write_page(report: Report) -> str:
    """Write the page; everything from outside is escaped, nothing is fetched, no script runs."""
    return page_template("export.monitoring", TEMPLATE).render(report=report)


def write_shadow_page(report: ShadowReport) -> str:
    """Write the page of a shadow; as `write_page`."""
    return page_template("export.monitoring", SHADOW_TEMPLATE).render(report=report)
