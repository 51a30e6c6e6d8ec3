"""Explanations as DICOM objects, read back and validated by others."""

import copy
import io
import shutil
import subprocess
from datetime import date
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from explained import MODEL, explained, grey, hot_map
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes

from service.errors import NotAnImage, Unprocessable
from service.explain.dicom.concepts import PROCEDURE, QUALITATIVE_EVALUATIONS, pathology
from service.explain.dicom.secondary_capture import secondary_capture
from service.explain.dicom.structured_report import structured_report
from service.explain.dicom.study import patient_orientation, source_header
from service.explain.dicom.text_report import not_analysed_report, text_report
from service.explain.drawing.figure import draw
from service.explain.drawing.heat_map import rgb
from service.network.answer import DEMO_WARNING
from service.radiograph.preprocess import Geometry

WIDTH, HEIGHT = 1841, 1955

MODULES = ("SCImage", "Comprehensive3DSR", "EnhancedSR", "BasicTextSR")
"""What dciodvfy calls the objects that are written here."""

WARNINGS = (DEMO_WARNING, "The image is too dark.")

pytestmark = pytest.mark.filterwarnings(
    # The source's referring physician is one word, which readers remark on.
    "ignore:.*unlikely to be a valid person name:UserWarning",
    'ignore:The string "ward" is unlikely:UserWarning',
)


@pytest.fixture(scope="module")
def original():
    """A real radiograph's file."""
    return Path(get_testdata_file("RG1_UNCI.dcm")).read_bytes()


@pytest.fixture(scope="module")
def source(original):
    return source_header(original)


def changed(original, **attributes):
    """The same file with other attributes; None takes one away."""
    dataset = pydicom.dcmread(io.BytesIO(original), stop_before_pixels=True)
    for name, value in attributes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def found_in(source, values=None, **more):
    orientation = patient_orientation(source)
    return explained(values, patient_orientation=orientation, **more)


def capture(source, found):
    picture = rgb(draw(grey(WIDTH, HEIGHT), found, MODEL))
    return secondary_capture(source, picture, found, MODEL), picture


def errors(data, tmp_path):
    """What dciodvfy finds wrong."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    path = tmp_path / "object.dcm"
    path.write_bytes(data)
    done = subprocess.run([program, path], capture_output=True, text=True, check=False)
    told = (done.stdout + done.stderr).splitlines()
    assert any(line.strip() in MODULES for line in told)
    return [line for line in told if "Error" in line]


def decision(report):
    """The coded evaluation of the report: finding and decision."""
    (container,) = (
        each for each in report.content[0].ContentSequence if each.name == QUALITATIVE_EVALUATIONS
    )
    code = container.ContentSequence[0]
    return code.name.meaning, code.value.meaning


@pytest.mark.parametrize("values", [None, np.zeros((7, 7), np.float32)], ids=["map", "no map"])
def test_objects_are_valid(source, values, tmp_path):
    """dciodvfy finds no error in the Secondary Capture or in the report."""
    found = found_in(source, values)
    assert errors(capture(source, found)[0], tmp_path) == []
    assert errors(structured_report(source, found, MODEL, WARNINGS), tmp_path) == []


def test_objects_are_valid_whatever_the_source_lacks(original, tmp_path):
    """A source without orientation or study's name, with an age and a sex that break their format,
    makes valid objects all the same."""
    bare = changed(
        original, PatientOrientation=None, PatientSex="X", StudyID=None, BodyPartExamined=None
    )
    dataset = pydicom.dcmread(io.BytesIO(bare), stop_before_pixels=True)
    dataset.add(pydicom.DataElement(0x00101010, "AS", "62", validation_mode=0))
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    source = source_header(buffer.getvalue())
    found = found_in(source)
    assert found.words == "image left, middle third"
    assert errors(capture(source, found)[0], tmp_path) == []
    assert errors(structured_report(source, found, MODEL, WARNINGS), tmp_path) == []


def test_the_capture_joins_the_study_and_names_its_source(source):
    """The picture is in the source's study, in a series of its own, and refers to the source."""
    found = found_in(source)
    data, picture = capture(source, found)
    read = pydicom.dcmread(io.BytesIO(data))
    assert read.StudyInstanceUID == source.StudyInstanceUID
    assert read.SeriesInstanceUID != source.SeriesInstanceUID
    assert read.PatientID == "9RG1"
    assert read.PatientOrientation == ["L", "F"]
    assert read.LossyImageCompression == "01"
    assert read.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert read.SourceImageSequence[0].ReferencedSOPClassUID == source.SOPClassUID
    assert "demo weights, not for clinical use" in read.DerivationDescription
    np.testing.assert_array_equal(read.pixel_array, np.asarray(picture))


def test_the_report_gives_score_place_and_source(source):
    """highdicom reads the score, the verdict, the box in source pixels, the patient's side and
    the reference, which the report's own evidence resolves."""
    found = found_in(source)
    data = structured_report(source, found, MODEL, WARNINGS)
    report = hd.sr.srread(io.BytesIO(data))
    (group,) = report.content.get_planar_roi_measurement_groups()
    score, probability = group.get_measurements()
    assert score.value == pytest.approx(found.served.score, abs=1e-6)
    assert probability.value == pytest.approx(found.served.probability, abs=1e-6)
    assert decision(report) == ("Pneumonia", "Positive")
    box = found.place.box
    corners = group.roi.value
    assert corners.min(axis=0).tolist() == [box.left, box.top]
    assert corners.max(axis=0).tolist() == [box.left + box.width, box.top + box.height]
    (site,) = group.finding_sites
    assert site.topographical_modifier is None
    assert site.laterality.meaning == "Right"
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
    assert evidence.StudyInstanceUID == source.StudyInstanceUID
    listed = evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert listed.ReferencedSOPInstanceUID == source.SOPInstanceUID
    uids = {
        "referenced_sop_instance_uid": source.SOPInstanceUID,
        "referenced_sop_class_uid": source.SOPClassUID,
    }
    assert len(report.content.get_planar_roi_measurement_groups(**uids)) == 1


def test_a_report_without_a_map_claims_no_region(source):
    """No map: score and verdict of the whole image, no region, and the reason."""
    found = found_in(source, np.zeros((7, 7), np.float32), logit=-3.0)
    report = hd.sr.srread(io.BytesIO(structured_report(source, found, MODEL, WARNINGS)))
    assert report.content.get_planar_roi_measurement_groups() == []
    (group,) = report.content.get_image_measurement_groups()
    assert len(group.get_measurements()) == 2
    assert decision(report) == ("Pneumonia", "Negative")
    texts = [element.value for element in report.iterall() if element.keyword == "TextValue"]
    assert "no map: Nothing in the image speaks for Pneumonia: the map is zero everywhere." in texts


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 192", "山田^太郎"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    ],
    ids=["Latin 1", "UTF-8", "code extensions"],
)
def test_a_name_keeps_its_letters(original, character_set, name):
    """A patient's name reads the same in the new object, whatever the source's character set."""
    file = changed(original, SpecificCharacterSet=character_set, PatientName=name)
    source = source_header(file)
    data = structured_report(source, found_in(source), MODEL, WARNINGS)
    assert str(pydicom.dcmread(io.BytesIO(data)).PatientName) == name


def test_only_dicom_has_a_study_to_join(phantom_png):
    """A PNG is refused with 415 where a DICOM answer is wanted."""
    with pytest.raises(NotAnImage) as caught:
        source_header(phantom_png(1))
    assert (caught.value.status, caught.value.code) == (415, "not_dicom")


def test_a_source_that_is_in_no_study_is_refused(original):
    """Without a study there is nothing to join: 422, naming the attribute and no value."""
    with pytest.raises(Unprocessable) as caught:
        source_header(changed(original, StudyInstanceUID=None))
    assert (caught.value.status, caught.value.code) == (422, "no_study")
    assert "StudyInstanceUID" in caught.value.message


def test_a_source_with_a_damaged_attribute_is_refused(original):
    """A value representation that there is none of is 422, no fault of the service."""
    file = changed(original)
    damaged = file.replace(b"\x20\x00\x0d\x00UI", b"\x20\x00\x0d\x00XX")
    assert damaged != file
    with pytest.raises(Unprocessable) as caught:
        source_header(damaged)
    assert caught.value.code == "source_attributes"


def test_a_source_that_cannot_be_taken_over_is_refused(source):
    """A value that no object may have is refused with 422, and not quoted."""
    broken = copy.deepcopy(source)
    broken.PatientSex = "SECRET"
    with pytest.raises(Unprocessable) as caught:
        structured_report(broken, found_in(source), MODEL, WARNINGS)
    assert caught.value.code == "source_attributes"
    assert "SECRET" not in caught.value.message


def pixelmed_remarks(data, tmp_path):
    """What PixelMed's validator of structured reports finds wrong or odd."""
    jar = Path("/usr/share/java/pixelmed.jar")
    if shutil.which("java") is None or not jar.is_file():
        pytest.skip("PixelMed (libpixelmed-java) or Java is not installed")
    path = tmp_path / "object.dcm"
    path.write_bytes(data)
    limits = [f"-Djdk.xml.xpath{each}Limit=0" for each in ("TotalOp", "ExprOp", "ExprGrp")]
    command = ["java", *limits, "-cp", f"{jar}:{jar.parent}/*"]
    validator = "com.pixelmed.validate.DicomSRValidator"
    done = subprocess.run(
        [*command, validator, path], capture_output=True, text=True, check=False, timeout=120
    )
    told = (done.stdout + done.stderr).splitlines()
    assert any("IOD validation complete" in line for line in told), told
    return [line for line in told if "Error" in line or "Warning" in line]


@pytest.mark.parametrize("kind", ["sr", "enhanced-sr", "basic-text-sr", "not analysed"])
@pytest.mark.parametrize("logit", [0.5, -3.0], ids=["positive", "negative"])
def test_reports_are_valid_for_others(source, kind, logit, tmp_path):
    """dciodvfy and PixelMed find nothing wrong in a report of any kind, positive or negative."""
    found = found_in(source, logit=logit)
    if kind == "basic-text-sr":
        data = text_report(source, found, MODEL, WARNINGS)
    elif kind == "not analysed":
        data = not_analysed_report(source, "The view is not frontal.", MODEL, "sr")
    else:
        data = structured_report(source, found, MODEL, WARNINGS, kind)
    assert errors(data, tmp_path) == []
    told = pixelmed_remarks(data, tmp_path)
    if kind in ("sr", "enhanced-sr"):
        assert told == []
    # Of the headings of TID 2000 it knows those that the standard had before LOINC's.
    assert [line for line in told if "not in template" not in line] == []


@pytest.mark.parametrize("logit", [0.5, -3.0], ids=["positive", "negative"])
def test_every_warning_and_the_decision_stand_in_each_report(source, logit):
    """A reader of any report sees positive or negative in words, and every warning."""
    found = found_in(source, logit=logit)
    decision = "positive" if logit > 0 else "negative"
    for data in (
        structured_report(source, found, MODEL, WARNINGS),
        structured_report(source, found, MODEL, WARNINGS, "enhanced-sr"),
        text_report(source, found, MODEL, WARNINGS),
    ):
        texts = [e.value for e in pydicom.dcmread(io.BytesIO(data)).iterall() if e.VR == "UT"]
        assert set(WARNINGS) <= set(texts)
        assert any(text.startswith(f"Pneumonia: {decision}, score 0.") for text in texts)
        assert any("onnxruntime float32" in text for text in texts)


def test_a_negative_has_no_region(source):
    """Of a negative the report claims no region, and says so."""
    found = found_in(source, logit=-3.0)
    report = hd.sr.srread(io.BytesIO(structured_report(source, found, MODEL, WARNINGS)))
    assert report.content.get_planar_roi_measurement_groups() == []
    texts = [e.value for e in report.iterall() if e.VR == "UT"]
    assert "no map: Pneumonia is negative: no region is shown." in texts


def test_the_same_explanation_is_the_same_object(source):
    """The same image, model and settings give the same bytes, with no date of today, and
    another model's version or kind of object gives other identifiers."""
    found = found_in(source, hot_map(), geometry=Geometry(WIDTH, HEIGHT))
    other = MODEL.model_copy(update={"version": "another"})

    def objects():
        return [
            structured_report(source, found, MODEL, WARNINGS),
            structured_report(source, found, MODEL, WARNINGS, "enhanced-sr"),
            text_report(source, found, MODEL, WARNINGS),
            structured_report(source, found, other, WARNINGS),
            not_analysed_report(source, "The view is not frontal.", MODEL, "sr"),
            capture(source, found)[0],
        ]

    first = objects()

    assert objects() == first
    assert not any(f"{date.today():%Y%m%d}".encode() in each for each in first)
    read = [pydicom.dcmread(io.BytesIO(each), stop_before_pixels=True) for each in first]
    assert len({each.SOPInstanceUID for each in read}) == len(read)
    assert len({each.SeriesInstanceUID for each in read}) == len(read)
    assert {each.StudyInstanceUID for each in read} == {source.StudyInstanceUID}
    assert {each.ContentDate for each in read} == {source.ContentDate}
    assert all(each.SOPInstanceUID.startswith("2.25.") for each in read)


def test_codes_are_those_of_the_standard():
    """Concepts that PS3.16 lists have its code; the procedure is of CID 100."""
    assert PROCEDURE in codes.cid100.concepts.values()
    for label, keyword in {
        "Cardiomegaly": "Cardiomegaly",
        "Edema": "PulmonaryEdema",
        "Effusion": "PleuralEffusion",
        "Pneumothorax": "Pneumothorax",
    }.items():
        assert pathology(label) == getattr(codes.SCT, keyword)


def test_a_leg_has_its_laterality_or_an_empty_one(original, tmp_path):
    """A body part that may be paired has Laterality, empty where the source has none (2C)."""
    source = source_header(changed(original, BodyPartExamined="LEG"))
    data = capture(source, found_in(source))[0]
    assert errors(data, tmp_path) == []
    assert pydicom.dcmread(io.BytesIO(data)).Laterality == ""


def test_a_source_of_no_known_class_is_refused(original):
    """A SOP Class UID that names nothing is the file's fault: 422, not a failure of the service."""
    source = source_header(changed(original, SOPClassUID="1.2.3"))
    with pytest.raises(Unprocessable) as refused:
        structured_report(source, found_in(source), MODEL, WARNINGS)
    assert refused.value.code == "source_attributes"
