"""report.html: what report.json says, for people; one file that asks nothing of any host."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from export.evaluation import plots
from export.evaluation.mistakes import Pictures
from export.evaluation.records import Finding, Interval, Rate, Report

TEMPLATE = "page.html.j2"
STYLE = "page.css"
VERDICTS = {
    "same collection": "Trained on this collection",
    "shared images": "Trained on some of these images",
    "not named": "Not among the named training data",
    "unknown": "Training data not excluded",
}


def write_page(report: Report, pictures: Sequence[Pictures]) -> str:
    """Write the page; everything from outside is escaped, nothing is fetched, no script runs.

    Args:
        report: What it says.
        pictures: One per mistake of the target.
    """
    return page_template("export.evaluation", TEMPLATE).render(
        report=report,
        finding=report.target,
        others=report.findings[1:],
        mistakes=list(zip(report.target.mistakes, pictures, strict=True)),
        verdict=VERDICTS[report.training.verdict],
        drawn=drawn,
        bar=lambda *values: Markup(plots.interval_bar(*values)),  # noqa: S704  numbers only
        mark=lambda index: Markup(plots.mark(index)),  # noqa: S704  numbers only
        span=span,
    )


def page_template(package: str, name: str) -> Template:
    """A page's template, with the style and the filters that all pages have."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(figure=figure, percent=percent, range=interval, p_value=p_value)
    style = files("export.evaluation").joinpath(STYLE).read_text(encoding="utf-8")
    environment.globals["style"] = Markup(style)  # noqa: S704  our own file
    return environment.from_string(files(package).joinpath(name).read_text(encoding="utf-8"))


def drawn(finding: Finding) -> dict[str, Markup]:
    """The plots of a finding by name; those that are undefined are left out."""
    if finding.curves is None or finding.calibration is None:
        return {}
    label, curves = finding.label, finding.curves
    made = {
        "roc": plots.roc(curves, finding.points, label),
        "precision_recall": plots.precision_recall(
            curves, finding.positives / finding.images, label
        ),
        "histogram": plots.histogram(curves, finding.operating_point, label),
        "reliability": plots.reliability(finding.calibration, label),
    }
    # plots.py escapes the few words that it writes.
    return {name: Markup(svg) for name, svg in made.items()}  # noqa: S704


def span(finding: Finding) -> tuple[float, float]:
    """Ends of the scale that subgroups' areas are drawn on."""
    found = [group.auc.low for group in finding.subgroups if group.auc.low is not None]
    lowest = min(found, default=0.5)
    return (0.0 if lowest < 0.5 else 0.5 if lowest < 0.8 else 0.8), 1.0


def figure(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def percent(rate: Rate) -> str:
    """A share as people say it, with its counts."""
    if rate.value is None:
        return f"– (0 of {rate.of})"
    return f"{100 * rate.value:.1f} % ({rate.count} of {rate.of})"


def interval(found: Interval, digits: int = 3) -> str:
    if found.low is None or found.high is None:
        return "no interval"
    return f"{found.low:.{digits}f} to {found.high:.{digits}f}"


def p_value(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
