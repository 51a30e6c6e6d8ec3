"""A model card in Markdown, after Mitchell et al. 2019, "Model Cards for Model Reporting"."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from pydantic import ValidationError

from export.card.subject import Subject
from export.errors import CardRefused
from export.evaluation.page import VERDICTS, figure, interval
from export.evaluation.records import Report

TEMPLATE = "card.md.j2"
WORST_SUBGROUPS = 3


def read_report(path: Path, subject: Subject) -> Report:
    """Read a report.json and make sure that it is of these weights.

    Raises:
        CardRefused: It cannot be read, or is of other weights or of another bundle.
    """
    try:
        report = Report.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CardRefused(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise CardRefused(
            f"{path} is no report of cxr evaluate: {where}: {fault['msg']}"
        ) from error
    if subject.sha256 not in (None, report.model.weights_sha256) or (
        report.model.weights != subject.name
    ):
        raise CardRefused(
            f"{path} is of the weights {report.model.weights} "
            f"({report.model.weights_sha256[:12]}), not of {subject.name}"
        )
    version = subject.manifest and subject.manifest.version
    if version not in (None, report.model.version):
        raise CardRefused(
            f"{path} was made with bundle version {report.model.version}, and this is {version}: "
            "evaluate again"
        )
    return report


def write_card(subject: Subject, reports: Sequence[Report]) -> str:
    """Write the card; what is not known is said to be.

    Args:
        subject: The weights.
        reports: Evaluations of them.
    """
    # Markdown, read as text: what comes from outside is escaped by `cell`.
    environment = Environment(  # noqa: S701
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters.update(figure=figure, range=interval, cell=cell)
    template = environment.from_string(
        files("export.card").joinpath(TEMPLATE).read_text(encoding="utf-8")
    )
    findings = sorted({label for one in subject.facts.published for label in one.areas})
    return template.render(
        subject=subject,
        facts=subject.facts,
        manifest=subject.manifest,
        drift=_drift(subject),
        reports=reports,
        findings=findings,
        verdicts=VERDICTS,
    )


def cell(text: str) -> str:
    """A text that cannot break out of a cell of a table or start a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _drift(subject: Subject) -> list[dict[str, object]]:
    """The bundle's own record of how far each variant is from the library's network."""
    if subject.parity is None or subject.manifest is None:
        return []
    return [
        {
            "variant": variant.name,
            "chosen": variant.name == subject.manifest.chosen,
            "group": group["group"],
            "images": group["images"],
            "probability": group["max_probability"],
            "changed": len(group["changed"]),
            "auc": group["auc"],
        }
        for variant in subject.manifest.variants
        for group in subject.parity["drift"].get(variant.name, [])
    ]
