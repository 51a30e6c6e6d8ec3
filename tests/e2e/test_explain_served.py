"""Explanations over real HTTP: beside the served prediction, as JSON, picture and DICOM."""

import io
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from service.explain.cam.request import OFFERED
from service.multipart_related import read_parts

DICOM = {"accept": "application/dicom"}


@pytest.fixture(scope="module")
def chest() -> bytes:
    """A real chest radiograph in DICOM, from the package pydicom-data."""
    return Path(get_testdata_file("RG1_UNCR.dcm")).read_bytes()


def explain(client, data: bytes, **fields: str):
    return client.post("/explain", files={"image": data}, data=fields)


@pytest.mark.parametrize(
    ("method", "layer"),
    [(method, layer) for method, layers in OFFERED.items() for layer in layers],
    ids=str,
)
def test_every_offered_map_is_served(client, phantom_png, method, layer):
    """Each method at each layer at which it is offered answers a map with a peak and a box."""
    answer = explain(client, phantom_png(11), method=method, layer=layer)
    assert answer.status_code == 200
    found = answer.json()
    assert (found["method"], found["layer"], found["target"]) == (method, layer, "Pneumonia")
    values = np.array(found["map"]["values"])
    assert values.shape == (found["map"]["cells"],) * 2
    assert values.max() == 1
    assert found["box"]["width"] > 0
    assert found["peak"]["words"].startswith("image ")


def test_an_explanation_stands_beside_the_served_prediction(client, phantom_png):
    """The score is the one that /predict serves, and the explainer's own lies within tolerance."""
    data = phantom_png(11)
    served = client.post("/predict", files={"image": data}).json()
    found = explain(client, data).json()
    assert found["score"]["score"] == served["score"]
    assert found["model"] == served["model"]
    assert found["image"] == served["image"]
    assert found["score"]["agrees"] is True
    assert found["score"]["difference"] <= found["score"]["tolerance"]


def test_cam_equals_gradcam_at_the_last_layer(client, phantom_png):
    """The map that costs a prediction is Grad-CAM's at the last layer."""
    data = phantom_png(11)
    free, paid = (explain(client, data, method=name).json() for name in ("cam", "gradcam"))
    np.testing.assert_allclose(free["map"]["values"], paid["map"]["values"], atol=0.02)


def test_faithfulness_is_measured_where_asked_for(client, phantom_png):
    """With faithfulness=true the answer says how the score falls; without, it does not."""
    data = phantom_png(11)
    assert explain(client, data).json()["faithfulness"] is None
    for method in ("gradcam", "cam"):
        found = explain(client, data, method=method, faithfulness="true").json()["faithfulness"]
        assert found["hottest_tenth"] > found["random_mean"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": "guess"}, "unknown_method"),
        ({"layer": "denseblock9"}, "unknown_layer"),
        ({"method": "cam", "layer": "denseblock1"}, "not_offered"),
        ({"target": "Hernia"}, "unknown_target"),
        ({"opacity": "2"}, "bad_field"),
        ({"colour": "red"}, "bad_field"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("path", ["/explain", "/gradcam"])
def test_what_cannot_be_explained_is_refused(client, phantom_png, path, fields, code):
    """A field with a value that is not allowed is 422 with a code of its own, on both paths."""
    answer = client.post(path, files={"image": phantom_png(1)}, data=fields)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == code


def test_a_picture_without_opacity_and_captions_is_the_radiograph(client, phantom_png):
    """opacity=0 and captions=false leave the radiograph as it is."""
    data = phantom_png(11, size=300)
    fields = {"opacity": "0", "captions": "false"}
    drawn = client.post("/gradcam", files={"image": data}, data=fields)
    picture = np.asarray(Image.open(io.BytesIO(drawn.content)))
    grey = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(picture, np.repeat(grey[..., None], 3, axis=2))


def test_dicom_answers_join_the_sources_study(client, chest):
    """Asked for DICOM, /gradcam answers a Secondary Capture and /explain a structured report."""
    source = pydicom.dcmread(io.BytesIO(chest))
    classes = {
        "/gradcam": "1.2.840.10008.5.1.4.1.1.7",
        "/explain": "1.2.840.10008.5.1.4.1.1.88.34",
    }
    for path, expected in classes.items():
        answer = client.post(path, files={"image": chest}, headers=DICOM)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/dicom"
        found = pydicom.dcmread(io.BytesIO(answer.content))
        assert found.SOPClassUID == expected
        assert found.StudyInstanceUID == source.StudyInstanceUID
        assert found.SeriesInstanceUID != source.SeriesInstanceUID
        assert source.SOPInstanceUID in str(found)


@pytest.mark.parametrize("path", ["/explain", "/gradcam"])
def test_dicom_is_answered_to_dicom_only(client, phantom_png, path):
    """A PNG has no study to join: asking for DICOM is 415."""
    answer = client.post(path, files={"image": phantom_png(1)}, headers=DICOM)
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "not_dicom"


def test_several_objects_come_in_one_answer(client, chest):
    """`objects` gives each that is named, of one explanation, and the same bytes a second time."""
    fields = {"objects": "sr,basic-text-sr,sc,json", "method": "cam"}
    answers = [explain(client, chest, **fields) for _ in range(2)]
    parts = [
        {part.name: part for part in read_parts(each.content, each.headers["content-type"])}
        for each in answers
    ]
    assert parts[0] == parts[1]
    assert list(parts[0]) == ["sr", "basic-text-sr", "sc", "json"]
    answer = json.loads(parts[0]["json"].content)
    decision = "positive" if answer["score"]["positive"] else "negative"
    served = f"{answer['model']['runtime']} {answer['model']['precision']}"
    for name in ("sr", "basic-text-sr"):
        report = pydicom.dcmread(io.BytesIO(parts[0][name].content))
        texts = [each.value for each in report.iterall() if each.VR == "UT"]
        assert set(answer["warnings"]) <= set(texts)
        assert any(f"Pneumonia: {decision}" in each for each in texts)
        assert any(served in each for each in texts)
    picture = pydicom.dcmread(io.BytesIO(parts[0]["sc"].content))
    assert picture.ImageComments.startswith(f"Pneumonia: {decision}")


def test_the_map_of_objects_is_the_one_of_the_prediction(client, chest):
    """By `cam` the answer among several objects is the answer that is given alone."""
    several = explain(client, chest, objects="json,sc", method="cam", picture_side=512)
    parts = read_parts(several.content, several.headers["content-type"])
    assert json.loads(parts[0].content) == explain(client, chest, method="cam").json()
    picture = pydicom.dcmread(io.BytesIO(parts[1].content))
    assert picture.Columns == 461  # a quarter of 1841, as half of its 1955 rows are too many


def test_objects_are_of_dicom_alone(client, phantom_png):
    """A PNG has no study to join: 415; an object that is not known is 422."""
    refused = explain(client, phantom_png(11), objects="sr")
    assert (refused.status_code, refused.json()["error"]["code"]) == (415, "not_dicom")
    unknown = explain(client, phantom_png(11), objects="pdf")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (422, "bad_field")
