"""The log of numbers: what is in it, what is not, and that it stands in nobody's way."""

import os
import stat
import threading

import pyarrow.dataset
import pydicom
import pytest
from pydicom import uid
from pydicom.datadict import dictionary_VR
from site_files import site_file

from bench.files import chest, dicom, stored
from service.errors import SettingRefused
from service.metrics import MONITORING_ROWS
from service.network.bundle import read_manifest
from service.network.predictor import open_predictor
from service.serving import monitoring_log
from service.serving.monitoring_log import MOST_ROWS, MonitoringLog, open_log
from service.serving.monitoring_row import columns
from service.settings import read_settings

# Attributes of DICOM PS3.15, table E.1-1: what the basic application level confidentiality profile
# has removed, emptied or replaced, of those that the file of a radiograph is likely to have.
IDENTIFYING = [
    "AccessionNumber",
    "AcquisitionComments",
    "AcquisitionDate",
    "AcquisitionDateTime",
    "AcquisitionDeviceProcessingDescription",
    "AcquisitionProtocolDescription",
    "AcquisitionTime",
    "ActualHumanPerformersSequence",
    "AdditionalPatientHistory",
    "AdmissionID",
    "AdmittingDate",
    "AdmittingDiagnosesDescription",
    "AdmittingTime",
    "Allergies",
    "BranchOfService",
    "CassetteID",
    "ClinicalTrialProtocolEthicsCommitteeName",
    "ClinicalTrialSiteName",
    "ClinicalTrialSponsorName",
    "ClinicalTrialSubjectID",
    "ContentCreatorName",
    "ContentDate",
    "ContentTime",
    "ContrastBolusAgent",
    "CountryOfResidence",
    "CurrentPatientLocation",
    "DateOfSecondaryCapture",
    "DerivationDescription",
    "DetectorID",
    "DeviceDescription",
    "DeviceLabel",
    "DeviceSerialNumber",
    "DeviceUID",
    "EthnicGroup",
    "FillerOrderNumberImagingServiceRequest",
    "FrameComments",
    "GantryID",
    "GeneratorID",
    "ImageComments",
    "IdentifyingComments",
    "ImagingServiceRequestComments",
    "InstanceCreationDate",
    "InstanceCreationTime",
    "InstitutionAddress",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "IssuerOfPatientID",
    "LastMenstrualDate",
    "LongDeviceDescription",
    "MedicalAlerts",
    "MedicalRecordLocator",
    "MilitaryRank",
    "NameOfPhysiciansReadingStudy",
    "Occupation",
    "OperatorsName",
    "OrderCallbackPhoneNumber",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientAddress",
    "PatientAge",
    "PatientBirthDate",
    "PatientBirthName",
    "PatientBirthTime",
    "PatientComments",
    "PatientID",
    "PatientInsurancePlanCodeSequence",
    "PatientMotherBirthName",
    "PatientName",
    "PatientReligiousPreference",
    "PatientSex",
    "PatientSexNeutered",
    "PatientSize",
    "PatientState",
    "PatientTelephoneNumbers",
    "PatientTransportArrangements",
    "PatientWeight",
    "PerformedProcedureStepDescription",
    "PerformedProcedureStepID",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformedStationAETitle",
    "PerformedStationName",
    "PerformingPhysicianName",
    "PhysiciansOfRecord",
    "PlateID",
    "PregnancyStatus",
    "ProtocolName",
    "ReasonForStudy",
    "ReferringPhysicianAddress",
    "ReferringPhysicianName",
    "ReferringPhysicianTelephoneNumbers",
    "RegionOfResidence",
    "RequestedContrastAgent",
    "RequestedProcedureComments",
    "RequestedProcedureDescription",
    "RequestedProcedureID",
    "RequestingPhysician",
    "RequestingService",
    "ResponsibleOrganization",
    "ResponsiblePerson",
    "ScheduledProcedureStepDescription",
    "SeriesDate",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesTime",
    "ServiceEpisodeDescription",
    "ServiceEpisodeID",
    "SmokingStatus",
    "SOPInstanceUID",
    "SpecialNeeds",
    "StationName",
    "StudyComments",
    "StudyDate",
    "StudyDescription",
    "StudyID",
    "StudyIDIssuer",
    "StudyInstanceUID",
    "StudyTime",
    "TextComments",
    "TimezoneOffsetFromUTC",
    "VisitComments",
    "FrameOfReferenceUID",
]

MARKS = {"DA": "19370401", "TM": "030405.123456", "DT": "19370401030405", "UI": "1.2.826.77.3.1"}
MARKS |= {"AS": "043Y", "CS": "ZQXMARK", "DS": "77.31", "US": 3, "IS": "7731"}
DEFAULT = "Zqxmark^Person"


@pytest.fixture
def predictor(demo_bundle, tmp_path):
    """The demo bundle with a site file."""
    path = tmp_path / "site.json"
    path.write_text(site_file(read_manifest(demo_bundle)).model_dump_json())
    return open_predictor(read_settings(bundle=str(demo_bundle), site=path))


@pytest.fixture
def identified():
    """A DICOM radiograph in which every identifying attribute has a value."""
    known = {"PatientAge": "043Y", "PatientSex": "F", "Manufacturer": "SIEMENS Healthineers Zqx"}
    known |= {"Modality": "DX", "ViewPosition": "PA"}
    attributes = {
        name: MARKS.get(dictionary_VR(name), DEFAULT)
        for name in IDENTIFYING
        if dictionary_VR(name) != "SQ" and pydicom.datadict.tag_for_keyword(name)
    }
    return dicom(
        stored(chest(1, 96, 96), 12),
        12,
        syntax=uid.ExplicitVRLittleEndian,
        **(attributes | known),
    )


def written(folder):
    """The rows of a log as dictionaries, and the bytes of all of its files."""
    files = sorted(folder.rglob("*.parquet"))
    rows = pyarrow.dataset.dataset(files).to_table().to_pylist()
    return rows, b"".join(path.read_bytes() for path in files)


def answered(predictor, data):
    """What the log is told of an image."""
    prepared = predictor.prepare(data)
    outputs = predictor.runtime.run(prepared.input.pixels[None])
    judgement = predictor.judge(prepared, outputs.features[0])
    return prepared.source, predictor.answer(prepared, outputs.logits[0], judgement)


def test_nothing_that_identifies_anybody_is_written(predictor, identified, tmp_path):
    """Of a file with every identifying attribute of DICOM's confidentiality profile, the log has
    the decade of the age and the sex, and of no other a name or a value."""
    source, answer = answered(predictor, identified)
    log = MonitoringLog(tmp_path / "log", predictor.manifest.labels)
    log.put(source, answer)
    log.close()
    (row,), content = written(tmp_path / "log")
    keywords = {name.lower() for name in IDENTIFYING}
    assert not {name.replace("_", "").lower() for name in row} & keywords
    for mark in (*map(str, MARKS.values()), DEFAULT, "Zqx", answer.image.sha256_pixels):
        if len(mark) > 3:
            assert mark.encode() not in content
            assert mark not in map(str, row.values())
    told = {name: row[name] for name in ("age_decade", "sex", "manufacturer", "modality", "view")}
    assert told == {
        "age_decade": 40,
        "sex": "F",
        "manufacturer": "siemens",
        "modality": "DX",
        "view": "PA",
    }
    assert row["time"].second == 0


def test_a_row_has_the_numbers_of_the_answer(predictor, phantom_png, tmp_path):
    """Probability, score and decisions are those of the answer, and raster files have no facts."""
    source, answer = answered(predictor, phantom_png(1))
    log = MonitoringLog(tmp_path, predictor.manifest.labels)
    log.put(source, answer)
    log.close()
    (row,), _ = written(tmp_path)
    found = answer.pathologies["Pneumonia"]
    assert list(row) == [column.name for column in columns(predictor.manifest.labels)]
    assert row["Pneumonia_probability"] == found.probability
    assert row["Pneumonia_positive"] == found.positive
    assert row["Pneumonia_decision"] == found.site.decision
    assert row["Pneumonia_calibrated_probability"] == pytest.approx(
        found.site.calibrated_probability, abs=1e-7
    )
    assert (row["model_version"], row["site_sha256"]) == (answer.model.version, answer.site.sha256)
    assert (row["input_verdict"], row["input_distance"]) == (
        answer.input.verdict,
        pytest.approx(answer.input.distance, abs=1e-6),
    )
    assert (row["width"], row["height"], row["bits"]) == (224, 224, 8)
    assert {row[name] for name in ("modality", "manufacturer", "sex", "age_decade")} == {None}


def test_every_category_is_of_a_closed_list(predictor, identified, tmp_path):
    """Each text of a row is one of its column's values; the versions are digests of ours."""
    source, answer = answered(predictor, identified)
    log = MonitoringLog(tmp_path, predictor.manifest.labels)
    log.put(source, answer)
    log.close()
    (row,), _ = written(tmp_path)
    for column in columns(predictor.manifest.labels):
        if column.values:
            assert row[column.name] in (*column.values, None)
        elif column.kind == "category":
            assert column.name in ("model_version", "site_sha256")


def test_rows_that_nobody_writes_are_dropped_and_counted(predictor, phantom_png, tmp_path):
    """While the disk hangs the log takes so many rows and no more, and a request goes on."""
    log = MonitoringLog(tmp_path, predictor.manifest.labels)
    source, answer = answered(predictor, phantom_png(1))
    hangs, go_on = threading.Event(), threading.Event()
    write = log._write

    def hang(day, rows):
        hangs.set()
        go_on.wait(60)
        write(day, rows)

    log._write = hang
    before = MONITORING_ROWS.labels("dropped")._value.get()
    for _ in range(monitoring_log.ROWS_A_FILE):
        log.put(source, answer)
    assert hangs.wait(10)
    for _ in range(MOST_ROWS + 5):
        log.put(source, answer)
    assert MONITORING_ROWS.labels("dropped")._value.get() - before == 5
    go_on.set()
    log.close(30)
    rows, _ = written(tmp_path)
    assert len(rows) == monitoring_log.ROWS_A_FILE + MOST_ROWS


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any folder")
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    """A log that could not be written is refused at the start."""
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(SettingRefused, match=r"CXR_MONITORING_LOG: .* cannot be written to"):
        open_log(tmp_path / "log", ["Pneumonia"])


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    """A path that is a file is refused by the setting's name."""
    (tmp_path / "log").touch()
    with pytest.raises(SettingRefused, match=r"CXR_MONITORING_LOG: .* cannot be written to"):
        open_log(tmp_path / "log", ["Pneumonia"])


def test_no_log_is_kept_unless_it_is_asked_for():
    """Without the setting there is no log."""
    assert open_log(read_settings().monitoring_log, ["Pneumonia"]) is None
