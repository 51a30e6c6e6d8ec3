"""What schemathesis sends where the OpenAPI document says that a file goes.

CXR_TEST_FILES says which: "radiographs" are drawn phantoms as PNG, which are to be accepted;
"junk" is anything else, and phantoms with some bytes changed or missing.
"""

import io
import os

import numpy as np
import schemathesis
from hypothesis import strategies as st
from PIL import Image

from export.demo.phantom import make_phantom


def _png(seed: int, kind: type) -> bytes:
    buffer = io.BytesIO()
    pixels = make_phantom(seed, seed % 2 == 0, 64).pixels
    Image.fromarray((pixels * np.iinfo(kind).max).astype(kind)).save(buffer, "PNG")
    return buffer.getvalue()


RADIOGRAPHS = [_png(seed, kind) for seed in range(2) for kind in (np.uint8, np.uint16)]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(RADIOGRAPHS)))
    at = draw(st.integers(0, len(data) - 1))
    data[at : at + draw(st.integers(1, 64))] = draw(st.binary(max_size=64))
    return bytes(data)


FILES = {
    "radiographs": st.sampled_from(RADIOGRAPHS),
    "junk": st.one_of(st.binary(max_size=200), damaged()),
}
schemathesis.openapi.format("binary", FILES[os.environ["CXR_TEST_FILES"]])


@schemathesis.hook
def map_body(_context, body):
    """Ask for no measure of faithfulness: it takes seconds each time and has its own tests."""
    if isinstance(body, dict) and body.get("faithfulness") is True:
        return body | {"faithfulness": False}
    return body
