"""Structured reports beside DICOM input: the score of one finding and where it comes from.

The map is the class activation map that came with the prediction, so PyTorch is not needed;
writing the object needs highdicom, of the extra `explain`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from service.archive.pipeline import ImageEvidence, read_file
from service.archive.sources import Source, printable
from service.explain.answer import notes
from service.explain.cam.class_map import CAM, class_activation_map
from service.explain.cam.request import map_request
from service.explain.explanation import explanation
from service.explain.hotspot import directions
from service.network.answer import ModelAnswer, Prediction
from service.network.bundle import Manifest
from service.network.site import Site
from service.radiograph.limits import DecodeLimits

SUFFIX, FHIR_SUFFIX = ".sr.dcm", ".fhir.json"

_LONGEST = 200
"""Bytes of a file's name; file systems have 255, of which some are needed while it is written."""


def report_name(source: Source, suffix: str = SUFFIX) -> str:
    """Where a file's report goes below the folder of results: the file's own path, and a suffix.

    A name that leads elsewhere (absolute, or through `..`) or is too long for a suffix is kept
    inside, under a digest of the path, so that two of them never meet.
    """
    name = PurePosixPath(os.path.normpath(printable(source.name)).replace(os.sep, "/"))
    if name.is_absolute() or ".." in name.parts or len(name.name.encode()) > _LONGEST:
        digest = hashlib.sha256(os.fsencode(source.path)).hexdigest()[:32]
        name = PurePosixPath("elsewhere", digest)
    return f"{name}{suffix}"


def report(
    source: Source,
    evidence: ImageEvidence,
    target: str,
    manifest: Manifest,
    model: ModelAnswer,
    limits: DecodeLimits,
    warnings: Sequence[str],
    site: Site | None = None,
) -> bytes:
    """Write the report of a file that was scored.

    Args:
        source: The file; its attributes are read again.
        evidence: What the network said of it.
        target: Name of the pathology.
        manifest: Of the bundle.
        model: What scored it.
        limits: What a file may ask for.
        warnings: Of the prediction.
        site: What was fitted to the site; None where nothing was.

    Raises:
        Unreadable: The file is gone by now.
        NotAnImage: It is not DICOM (code `not_dicom`).
        Unprocessable: It does not say which study it belongs to (`no_study`), or its attributes
            cannot be taken over (`source_attributes`).
        UnknownTarget: These weights do not name the target.
    """
    from service.explain.dicom.structured_report import structured_report
    from service.explain.dicom.study import source_header

    request = map_request(manifest.labels, target, CAM)
    found = explanation(
        request,
        class_activation_map(evidence.cams, evidence.logits, request.output),
        evidence.geometry,
        manifest.thresholds(),
        patient_orientation=directions(evidence.orientation),
        site=site,
    )
    header = source_header(read_file(Path(source.path), limits))
    return structured_report(header, found, model, [*warnings, *notes(found)])


def fhir_report(source: Source, prediction: Prediction, limits: DecodeLimits) -> bytes:
    """Write the FHIR resources of a file that was scored, of all its findings.

    Args:
        source: The file; its attributes are read again.
        prediction: Of it.
        limits: What a file may ask for.

    Raises:
        Unreadable, NotAnImage, Unprocessable: As for `report`.
    """
    from service.explain.dicom.study import source_header
    from service.explain.fhir import findings_bundle

    header = source_header(read_file(Path(source.path), limits))
    found, model = prediction.pathologies, prediction.model
    return findings_bundle(header, found, model, prediction.warnings, prediction.site).encode()
