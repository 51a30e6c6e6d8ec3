"""Findings as FHIR R4 resources: a DiagnosticReport with its Observations and its Device.

The shape follows HL7's "DICOM SR to FHIR Resource Mapping": a measurement group becomes an
Observation, its measurements are components, and the report refers to the imaging study by its UID.
Needs fhir.resources, which validates what is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from service.explain.answer import ExplanationAnswer
from service.explain.dicom.concepts import (
    CALIBRATED_PROBABILITY,
    PROBABILITY,
    SCORE,
    SITE_DECISION,
    SITE_FILE,
    pathology,
)
from service.explain.dicom.study import MANUFACTURER
from service.network.answer import ModelAnswer, PathologyAnswer
from service.network.site import SiteDecision, SiteReference

_SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "99CXR": "urn:cxr-pneumonia:concepts",
}
_RADLEX = {"Pneumonia": "RID5350"}
_UCUM = "http://unitsofmeasure.org"
_V2_0074 = "http://terminology.hl7.org/CodeSystem/v2-0074"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_DECISIONS = {
    "positive": codes.SCT.Positive,
    "negative": codes.SCT.Negative,
    "uncertain": codes.SCT.Indeterminate,
}
_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"


def explanation_bundle(source: Dataset, answer: ExplanationAnswer) -> str:
    """The resources of an explained score, with the score, decision and warnings of its SR.

    Args:
        source: As `service.explain.dicom.study.source_header` reads it.
        answer: Of `/explain`.
    """
    score = answer.score
    found = PathologyAnswer(
        score=score.score,
        probability=score.probability,
        positive=score.positive,
        site=score.site,
    )
    return findings_bundle(
        source, {answer.target: found}, answer.model, answer.warnings, answer.site
    )


def findings_bundle(
    source: Dataset,
    findings: Mapping[str, PathologyAnswer],
    model: ModelAnswer,
    warnings: Sequence[str],
    site: SiteReference | None,
) -> str:
    """The resources of findings, as a transaction that names them itself.

    The same image, model and findings have the same names: sending twice changes nothing.

    Args:
        source: As `service.explain.dicom.study.source_header` reads it.
        findings: By the network's labels.
        model: What scored them.
        warnings: What a reader should see.
        site: The site file that answered beside; None without one.

    Returns:
        JSON of a Bundle.
    """
    from fhir.resources.R4B.bundle import Bundle

    device = _device(model)
    observations = [
        _observation(source, label, found, model, device["id"], warnings, site)
        for label, found in findings.items()
    ]
    report = _report(source, findings, model, device["id"], observations, warnings)
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [_entry(each) for each in (device, *observations, report)],
    }
    return str(Bundle.model_validate(bundle).model_dump_json())


def _entry(resource: dict[str, Any]) -> dict[str, Any]:
    name = f"{resource['resourceType']}/{resource['id']}"
    return {
        "fullUrl": f"urn:uuid:{resource['id']}",
        "resource": resource,
        "request": {"method": "PUT", "url": name},
    }


def _id(*parts: object) -> str:
    return str(uuid5(NAMESPACE_OID, "\n".join(map(str, (MANUFACTURER, *parts)))))


def _coding(code: Code) -> dict[str, str]:
    return {
        "system": _SYSTEMS[code.scheme_designator],
        "code": code.value,
        "display": code.meaning,
    }


def _concept(code: Code) -> dict[str, Any]:
    return {"coding": [_coding(code)], "text": code.meaning}


def _finding(label: str) -> dict[str, Any]:
    concept = _concept(pathology(label))
    if label in _RADLEX:
        concept["coding"].append(
            {"system": "http://radlex.org", "code": _RADLEX[label], "display": label.lower()}
        )
    return concept


def _device(model: ModelAnswer) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "id": _id("device", model.version, model.runtime, model.precision),
        "status": "active",
        "manufacturer": MANUFACTURER,
        "deviceName": [{"name": f"{MANUFACTURER} {model.name}", "type": "model-name"}],
        "version": [
            {"type": {"text": "model"}, "value": model.version},
            {"type": {"text": "weights, SHA-256"}, "value": model.weights_sha256},
            {"type": {"text": "runtime"}, "value": f"{model.runtime} {model.precision}"},
        ],
        "note": [{"text": "Demo weights, not for clinical use."}] if model.demo else None,
    }


def _observation(
    source: Dataset,
    label: str,
    found: PathologyAnswer,
    model: ModelAnswer,
    device: str,
    warnings: Sequence[str],
    site: SiteReference | None,
) -> dict[str, Any]:
    decision = codes.SCT.Positive if found.positive else codes.SCT.Negative
    letters = "POS" if found.positive else "NEG"
    return {
        "resourceType": "Observation",
        "id": _id("observation", source.SOPInstanceUID, model.version, model.runtime, label),
        "status": "preliminary",
        "category": [{"coding": [{"system": _CATEGORY, "code": "imaging"}]}],
        "code": _finding(label),
        **_about(source),
        "derivedFrom": [_study(source)],
        "bodySite": _concept(codes.SCT.Chest),
        "device": {"reference": f"Device/{device}"},
        "valueCodeableConcept": _concept(decision),
        "interpretation": [{"coding": [{"system": _INTERPRETATION, "code": letters}]}],
        "component": [
            {"code": _concept(SCORE), "valueQuantity": _number(found.score)},
            {"code": _concept(PROBABILITY), "valueQuantity": _number(found.probability)},
            *_at_site(found.site, site),
        ],
        "note": [{"text": each} for each in warnings] or None,
    }


def _at_site(found: SiteDecision | None, site: SiteReference | None) -> list[dict[str, Any]]:
    """Components of what the site's own file makes of a finding."""
    if found is None or site is None:
        return []
    calibrated = _number(found.calibrated_probability)
    return [
        {"code": _concept(CALIBRATED_PROBABILITY), "valueQuantity": calibrated},
        {
            "code": _concept(SITE_DECISION),
            "valueCodeableConcept": {
                "coding": [_coding(_DECISIONS[found.decision])],
                "text": found.decision,
            },
        },
        {"code": _concept(SITE_FILE), "valueString": site.sha256},
    ]


def _report(
    source: Dataset,
    findings: Mapping[str, PathologyAnswer],
    model: ModelAnswer,
    device: str,
    observations: Sequence[dict[str, Any]],
    warnings: Sequence[str],
) -> dict[str, Any]:
    decisions = [
        f"{label.replace('_', ' ')}: {'positive' if found.positive else 'negative'}, score "
        f"{found.score:.2f} (operating point 0.5)"
        + (
            f"; at this site {found.site.decision}, calibrated probability "
            f"{found.site.calibrated_probability:.3f}"
            if found.site
            else ""
        )
        for label, found in findings.items()
    ]
    labels = ",".join(findings)
    return {
        "resourceType": "DiagnosticReport",
        "id": _id("report", source.SOPInstanceUID, model.version, model.runtime, labels),
        "status": "preliminary",
        "category": [{"coding": [{"system": _V2_0074, "code": "RAD", "display": "Radiology"}]}],
        "code": _concept(codes.LN.DiagnosticImagingReport),
        **_about(source),
        "performer": [{"reference": f"Device/{device}", "type": "Device"}],
        "imagingStudy": [_study(source)],
        "result": [{"reference": f"Observation/{each['id']}"} for each in observations],
        "conclusion": "\n".join([*decisions, *warnings]),
        "conclusionCode": [
            _concept(pathology(label)) for label, found in findings.items() if found.positive
        ]
        or None,
    }


def _about(source: Dataset) -> dict[str, Any]:
    """Whom it is about, and when the image was made, as far as the source says."""
    about: dict[str, Any] = {}
    if number := str(source.get("PatientID") or ""):
        about["subject"] = {"type": "Patient", "identifier": {"value": number}}
    if date := str(source.get("AcquisitionDate") or source.get("StudyDate") or ""):
        about["effectiveDateTime"] = f"{date[:4]}-{date[4:6]}-{date[6:8]}"
    return about


def _study(source: Dataset) -> dict[str, Any]:
    """The imaging study, by its UID (the FHIR server's own name for it is not known)."""
    uid = {"system": "urn:dicom:uid", "value": f"urn:oid:{source.StudyInstanceUID}"}
    return {"type": "ImagingStudy", "identifier": uid}


def _number(value: float) -> dict[str, Any]:
    return {"value": round(value, 6), "unit": "1", "system": _UCUM, "code": "1"}
