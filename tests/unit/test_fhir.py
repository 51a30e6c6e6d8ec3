"""Findings as FHIR resources."""

import json
from pathlib import Path

import pytest
from explained import IMAGE, MODEL, USUAL, explained
from fhir.resources.R4B.bundle import Bundle
from pydicom.data import get_testdata_file

from service.explain.answer import explanation_answer
from service.explain.dicom.study import source_header
from service.explain.fhir import explanation_bundle

WARNINGS = ("The image is too dark.",)


@pytest.fixture(scope="module")
def source():
    return source_header(Path(get_testdata_file("RG1_UNCI.dcm")).read_bytes())


def resources(text):
    """Resources of a bundle by type, read back and validated."""
    bundle = Bundle.model_validate_json(text)
    return {type(each.resource).__name__: each.resource for each in bundle.entry}


@pytest.mark.parametrize("logit", [0.5, -3.0], ids=["positive", "negative"])
def test_the_report_says_what_the_answer_says(source, logit):
    """Score, decision, every warning, the model's version and the study stand in the resources."""
    answer = explanation_answer(explained(logit=logit), IMAGE, MODEL, USUAL, WARNINGS)
    found = resources(explanation_bundle(source, answer))
    observation, report = found["Observation"], found["DiagnosticReport"]
    decision = "Positive" if logit > 0 else "Negative"
    assert observation.valueCodeableConcept.text == decision
    score, probability = (float(each.valueQuantity.value) for each in observation.component)
    assert score == pytest.approx(answer.score.score, abs=1e-6)
    assert probability == pytest.approx(answer.score.probability, abs=1e-6)
    assert [each.text for each in observation.note] == answer.warnings
    assert all(each in report.conclusion for each in answer.warnings)
    assert report.conclusion.startswith(f"Pneumonia: {decision.lower()}, score 0.")
    assert report.imagingStudy[0].identifier.value == f"urn:oid:{source.StudyInstanceUID}"
    assert found["Device"].version[0].value == MODEL.version


def test_the_same_answer_is_the_same_transaction(source):
    """Made twice it is the same text, and every entry names its resource itself."""
    answer = explanation_answer(explained(), IMAGE, MODEL, USUAL, WARNINGS)
    first = explanation_bundle(source, answer)
    assert explanation_bundle(source, answer) == first
    entries = json.loads(first)["entry"]
    assert [each["request"]["method"] for each in entries] == ["PUT"] * 3
    assert all(each["request"]["url"].endswith(each["resource"]["id"]) for each in entries)
