"""The page of a comparison."""

from __future__ import annotations

from export.evaluation.page import page_template
from export.monitoring.records import Report

TEMPLATE = "page.html.j2"


def write_page(report: Report) -> str:
    """Write the page; everything from outside is escaped, nothing is fetched, no script runs."""
    return page_template("export.monitoring", TEMPLATE).render(report=report)
