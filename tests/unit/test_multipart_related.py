"""Bodies of the type multipart/related."""

import pytest

from service.multipart_related import Part, read_parts, write_parts

PARTS = [Part(b"\r\n--x\r\n\0\xff", "application/dicom", "sr"), Part(b"", "application/json")]


def test_what_is_written_is_read_again():
    """Any bytes come back as they were, with type and name."""
    assert read_parts(*write_parts(PARTS, "application/dicom")) == PARTS


@pytest.mark.parametrize(
    ("cut", "content_type"),
    [(slice(0, -20), None), (slice(None), "multipart/related"), (slice(None), "text/plain")],
    ids=["ends early", "no boundary", "another type"],
)
def test_a_broken_body_is_refused(cut, content_type):
    """A body that ends early, has no boundary or is of another type raises ValueError."""
    body, good = write_parts(PARTS, "application/dicom")
    with pytest.raises(ValueError):
        read_parts(body[cut], content_type or good)
