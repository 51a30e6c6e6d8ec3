"""Two encodings of one instance are the same; another content is not."""

import io

import pydicom
import pytest
from pydicom import uid

from bench.radiographs import radiographs
from service.node.same_content import same_content


@pytest.fixture(scope="module")
def file():
    return next(iter(radiographs(2, real_every=0)))[1]


def changed(file, **attributes):
    dataset = pydicom.dcmread(io.BytesIO(file))
    for name, value in attributes.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def test_another_encoding_is_the_same(file):
    """How the length of a sequence is written does not count."""
    item = pydicom.Dataset()
    item.CodeValue = "1"
    files = []
    for undefined in (False, True):
        dataset = pydicom.dcmread(io.BytesIO(file))
        dataset.ViewCodeSequence = [item]
        dataset["ViewCodeSequence"].is_undefined_length = undefined
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        files.append(buffer.getvalue())
    assert len(files[0]) != len(files[1])
    assert same_content(*files)


def test_another_content_is_not(file):
    """One pixel, or one attribute, makes another content."""
    dataset = pydicom.dcmread(io.BytesIO(file))
    pixels = bytes([dataset.PixelData[0] ^ 1]) + dataset.PixelData[1:]
    assert not same_content(file, changed(file, PixelData=pixels))
    assert not same_content(file, changed(file, PatientID="another"))


def test_what_cannot_be_compared_is_not_the_same(file):
    """Neither damaged nor deflated files are, however alike."""
    assert not same_content(file, file[:300])
    dataset = pydicom.dcmread(io.BytesIO(file))
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    assert not same_content(buffer.getvalue(), buffer.getvalue())
