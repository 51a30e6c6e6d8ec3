"""A report in words (TID 2000): for archives that take no other, and for what was not analysed."""

from __future__ import annotations

from collections.abc import Iterable

from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from service.explain.dicom.concepts import ENGLISH
from service.explain.dicom.document import ReportKind, document, observer
from service.explain.dicom.study import derived_series
from service.explain.explanation import Explanation
from service.network.answer import ModelAnswer

SERIES_NUMBER = 9103

NOT_ANALYSED = "Not analysed"


def text_report(
    source: Dataset, explanation: Explanation, model: ModelAnswer, warnings: Iterable[str]
) -> bytes:
    """Write an explanation as a Basic Text SR.

    Args:
        source: As `source_header` reads it.
        explanation: Of the source image.
        model: What scored it.
        warnings: Every sentence that its reader should see.
    """
    request = explanation.request
    findings = [
        *([f"Most evidence: {explanation.words}."] if explanation.words else []),
        *([f"No region is shown. {explanation.reason}"] if explanation.reason else []),
        *warnings,
        f"Model {model.name} {model.version}, {model.runtime} {model.precision}.",
    ]
    series = derived_series(source, model, "basic-text-sr", explanation.settings, SERIES_NUMBER)
    root = _root(model, findings, explanation.sentence)
    return document("basic-text-sr", source, root, series, model, f"Report: {request.target}")


def not_analysed_report(
    source: Dataset, reason: str, model: ModelAnswer, kind: ReportKind
) -> bytes:
    """Write that an image was not analysed, and why.

    Args:
        source: As `source_header` reads it.
        reason: The refusal, a sentence.
        model: What would have scored it.
        kind: The SOP class that the archive takes.
    """
    series = derived_series(source, model, f"not analysed {kind}", (reason,), SERIES_NUMBER)
    root = _root(model, [reason], f"{NOT_ANALYSED}: there is no score for this image.")
    return document(kind, source, root, series, model, NOT_ANALYSED)


def _root(model: ModelAnswer, findings: Iterable[str], conclusion: str) -> Dataset:
    """A basic diagnostic imaging report: what was found, and what follows."""
    root = sr.ContainerContentItem(
        name=codes.LN.DiagnosticImagingReport, is_content_continuous=False, template_id="2000"
    )
    root.ContentSequence = sr.ContentSequence()
    root.ContentSequence.extend(sr.LanguageOfContentItemAndDescendants(ENGLISH))
    root.ContentSequence.extend(observer(model))
    root.ContentSequence.append(
        _section(codes.LN.Findings, [(codes.DCM.Finding, each) for each in findings])
    )
    root.ContentSequence.append(
        _section(codes.LN.Conclusions, [(codes.DCM.Conclusion, conclusion)])
    )
    return root


def _section(heading: Code, texts: Iterable[tuple[Code, str]]) -> Dataset:
    section = sr.ContainerContentItem(
        name=heading,
        is_content_continuous=False,
        relationship_type=sr.RelationshipTypeValues.CONTAINS,
    )
    section.ContentSequence = sr.ContentSequence(
        [sr.TextContentItem(name, text, sr.RelationshipTypeValues.CONTAINS) for name, text in texts]
    )
    return section
