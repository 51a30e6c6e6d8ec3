"""Damaged files, and the radiographs and oddities that other packages ship."""

from pathlib import Path

import numpy as np
import pytest

from bench.mutate import mutants, originals
from service.errors import ClientFault, Unprocessable
from service.radiograph.decode import decode
from service.radiograph.preprocess import preprocess

# Pillow and pydicom warn about what is odd in a file before they give up on it.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize("name", originals())
def test_sound_files_are_decoded(name):
    """Every file that the mutants come from decodes to a valid input."""
    pixels = preprocess(decode(originals()[name])).pixels
    assert np.ptp(pixels) > 0.2


def test_damaged_files_give_documented_errors():
    """A damaged file is decoded or refused with a client's error: no other exception, ever."""
    decoded = refused = 0
    for seed, name, data in mutants(0, 600):
        try:
            pixels = preprocess(decode(data, reduce=True)).pixels
        except ClientFault as error:
            assert error.status in {400, 413, 415, 422}, (seed, name)  # noqa: PT017
            refused += 1
        else:
            assert 0 <= pixels.min() <= pixels.max() <= 1, (seed, name)
            decoded += 1
    assert decoded > 50
    assert refused > 300


def _shipped():
    data_store = pytest.importorskip("data_store")
    import pydicom.data

    folders = [Path(data_store.__file__).parent / "data", Path(pydicom.data.__file__).parent]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_pydicom_s_own_files_are_decoded_or_refused():
    """Each file of pydicom's test data is decoded or refused with a documented error."""
    decoded, refused = set(), {}
    for path in _shipped():
        try:
            decoded.add((path.name, decode(path.read_bytes()).source.format))
        except ClientFault as fault:
            refused[path.name] = fault.code
    kinds = ("UNCI", "UNCR", "J2KI", "J2KR")
    assert {name for name, form in decoded if form == "DICOM"} >= {f"RG1_{k}.dcm" for k in kinds}
    assert {refused[f"RG3_{kind}.dcm"] for kind in kinds} == {"not_a_chest_radiograph"}


@pytest.fixture(scope="module")
def radiographs():
    data_store = pytest.importorskip("data_store")
    folder = Path(data_store.__file__).parent / "data"
    return {path.stem: path.read_bytes() for path in folder.glob("RG*.dcm")}


@pytest.mark.parametrize("kind", ["I", "R"], ids=["lossy", "lossless"])
def test_a_real_radiograph_is_the_same_in_every_syntax(radiographs, kind):
    """A compressed radiograph gives the very input of the uncompressed one made from it."""
    packed, native = (radiographs[f"RG1_{name}{kind}"] for name in ("J2K", "UNC"))
    assert preprocess(decode(packed)).sha256 == preprocess(decode(native)).sha256


def test_a_real_chest_is_read_and_a_leg_is_refused(radiographs):
    """The chest has its window applied and no warning; the leg is refused by its tag, and where a
    setting has it scored all the same, the answer warns of it."""
    chest = decode(radiographs["RG1_UNCR"])
    assert (chest.source.view, chest.source.bits) == ("PA", 15)
    assert chest.source.intensity == "VOI LUT window 15000/30000, inverted"
    assert chest.warnings == ()
    with pytest.raises(Unprocessable, match="the body part is EXTREMITY, not the chest") as refusal:
        decode(radiographs["RG3_UNCR"])
    assert refusal.value.code == "not_a_chest_radiograph"
    warned = decode(radiographs["RG3_UNCR"], body_part="warn").warnings
    assert "The file says that the body part is not the chest." in warned
