"""The body part that a DICOM file names."""

import pydicom
import pytest
from click.testing import CliRunner

from bench.files import chest, dicom, stored
from service.cli import cxr
from service.errors import Unprocessable
from service.network.predictor import open_predictor
from service.radiograph.decode import decode
from service.settings import read_settings

PIXELS = stored(chest(5, 71, 64), 12)
UNSURE = "The file names a body part that may not be the chest."


def file(term=None, *regions):
    """A radiograph with a Body Part Examined and Anatomic Regions (code, scheme, meaning)."""
    items = []
    for code, scheme, meaning in regions:
        item = pydicom.Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, scheme, meaning
        items.append(item)
    more = {"AnatomicRegionSequence": items} if items else {}
    return dicom(PIXELS, 12, BodyPartExamined=term, **more)


@pytest.mark.parametrize(
    "term",
    [
        *("CHEST", "Chest", " CHEST ", "CHEST PA", "CHEST_AP", "AP PORTABLE CHEST", "PORTCHEST"),
        *("CHESTABDOMEN", "CHESTABDPELVIS", "NECKCHEST", "CHEST ABDOMEN", "THORAX", "THORAX AP"),
        *("LUNG", "LUNGS", "RIB", "RIBS", "HEART", "MEDIASTINUM", "TORAX", "CXR", "", None),
    ],
)
def test_terms_of_the_chest_are_accepted(term):
    """A file that names the chest, in the standard's words or in others, or nothing, is read
    without a warning."""
    assert decode(file(term)).warnings == ()


@pytest.mark.parametrize(
    ("term", "part"),
    [
        ("KNEE", "KNEE"),
        ("Knee, left", "KNEE"),
        ("ABDOMEN", "ABDOMEN"),
        ("ABDOMEN PELVIS", "ABDOMENPELVIS"),
        ("L SPINE", "LSPINE"),
        ("THORACIC SPINE", "SPINE"),
        ("TSPINE", "TSPINE"),
        ("LEFT_HAND_PA", "HAND"),
        ("HIP", "HIP"),
        ("EXTREMITY", "EXTREMITY"),
        ("BREAST", "BREAST"),
        ("SKULL", "SKULL"),
    ],
)
def test_another_body_part_is_refused(term, part):
    """A file that names another region of PS3.16 Table L-1 is refused, and the refusal has the
    table's term, never the file's."""
    with pytest.raises(Unprocessable) as refusal:
        decode(file(term))
    assert refusal.value.code == "not_a_chest_radiograph"
    assert refusal.value.message == (
        f"The file says that the body part is {part}, not the chest. It was not scored."
    )
    assert refusal.value.detail == {"body_part": part}


@pytest.mark.parametrize("term", ["WHOLEBODY", "OUTSIDE FILM", "J BRZUSZNA", "UNKNOWN"])
def test_a_term_that_is_not_known_is_warned_about(term):
    """A body part in neither list is scored with a warning that does not quote it."""
    assert decode(file(term)).warnings == (UNSURE,)


@pytest.mark.parametrize(
    "region",
    [
        ("816094009", "SCT", "Chest"),
        ("51185008", "SCT", "Brustkorb"),
        ("T-D3000", "SRT", "Chest"),
        ("39607008", "SCT", "Lung"),
        ("416550000", "SCT", "Chest and Abdomen"),
    ],
    ids=str,
)
def test_codes_of_the_chest_are_accepted(region):
    """An anatomic region is told by its code, or by the meaning beside it."""
    assert decode(file(None, region)).warnings == ()


@pytest.mark.parametrize(
    ("region", "part"),
    [
        (("72696002", "SCT", "Knie"), "KNEE"),
        (("T-D9200", "SRT", "Foot"), "FOOT"),
        (("30021000", "SCT", "Lower leg"), "LEG"),
        (("818981001", "SCT", "Abdomen"), "ABDOMEN"),
    ],
    ids=str,
)
def test_codes_of_another_region_are_refused(region, part):
    """Another anatomic region is refused by its code, or by the meaning beside it."""
    with pytest.raises(Unprocessable) as refusal:
        decode(file(None, region))
    assert refusal.value.detail == {"body_part": part}


def test_attributes_that_disagree_are_warned_about():
    """Where one attribute names the chest and the other another part, the file is scored with a
    warning."""
    assert decode(file("ABDOMEN", ("816094009", "SCT", "Chest"))).warnings == (UNSURE,)


def test_the_refusal_is_a_setting(demo_bundle, tmp_path, monkeypatch):
    """With `CXR_BODY_PART=warn` a prediction and `cxr inspect` warn of a knee; otherwise both
    refuse it."""
    path = tmp_path / "knee.dcm"
    path.write_bytes(file("KNEE"))
    monkeypatch.setenv("CXR_BUNDLE", str(demo_bundle))
    with pytest.raises(Unprocessable, match="KNEE"):
        open_predictor(read_settings()).predict(path.read_bytes())
    assert isinstance(CliRunner().invoke(cxr, ["inspect", str(path)]).exception, Unprocessable)
    monkeypatch.setenv("CXR_BODY_PART", "warn")
    said = "The file says that the body part is not the chest."
    assert said in open_predictor(read_settings()).predict(path.read_bytes()).warnings
    assert said in " ".join(CliRunner().invoke(cxr, ["inspect", str(path)]).output.split())
