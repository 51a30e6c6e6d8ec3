"""What all structured reports have in common: the modules of the source, the device, the scheme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import BasicTextSRStorage

from service.explain.dicom.concepts import SCHEME
from service.explain.dicom.study import (
    MANUFACTURER,
    NewSeries,
    date_from_source,
    device_uid,
    taking_over,
    to_bytes,
)
from service.network.answer import ModelAnswer

ReportKind = Literal["sr", "enhanced-sr", "basic-text-sr"]
"""Comprehensive 3D SR, Enhanced SR and Basic Text SR, the richest first."""

_CLASSES = {
    "sr": sr.Comprehensive3DSR,
    "enhanced-sr": sr.EnhancedSR,
    "basic-text-sr": sr.EnhancedSR,  # highdicom has no class of its own for it
}


def document(
    kind: ReportKind,
    source: Dataset,
    content: Dataset | Sequence[Dataset],
    series: NewSeries,
    model: ModelAnswer,
    description: str,
) -> bytes:
    """Write a structured report in the source's study.

    Args:
        kind: Of the SOP class; what it may hold is for the caller to keep.
        source: As `source_header` reads it.
        content: The root of the content tree.
        series: The report's identifiers.
        model: What scored the source, or would have.
        description: Of the series.

    Returns:
        A DICOM file.
    """
    root = content if isinstance(content, Dataset) else content[0]
    # The constructor copies and searches the whole tree, half of the time that a report takes: it
    # gets the root with its first item, and the tree is put in its place afterwards.
    head = Dataset()
    for element in root:
        if element.keyword != "ContentSequence":
            head.add(element)
    head.ContentSequence = sr.ContentSequence(root.ContentSequence[:1])
    with taking_over():
        report = _CLASSES[kind](
            evidence=[source],
            content=head,
            series_instance_uid=series.series_instance_uid,
            series_number=series.series_number,
            sop_instance_uid=series.sop_instance_uid,
            instance_number=series.instance_number,
            manufacturer=MANUFACTURER,
            is_complete=True,
            is_final=False,
            is_verified=False,
        )
        report.ContentSequence = root.ContentSequence
        if kind == "basic-text-sr":
            report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
        date_from_source(report, source)
        report.SeriesDescription = description[:64]
        report.ManufacturerModelName = model.name[:64]
        report.SoftwareVersions = model.version[:64]
        report.CodingSchemeIdentificationSequence = [_private_scheme()]
        return to_bytes(report)


def observer(model: ModelAnswer) -> sr.ObserverContext:
    """The device that observed (TID 1002)."""
    return sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=device_uid(model),
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=model.name,
            serial_number=model.version,
        ),
    )


def _private_scheme() -> Dataset:
    """Who is responsible for the private codes, as every report that uses them must say."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = SCHEME
    scheme.CodingSchemeName = "Concepts of cxr-pneumonia"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    return scheme
