"""What every level of tests shares: one exported demo bundle, drawn radiographs, no tracking."""

from __future__ import annotations

import io
import os
from pathlib import Path

os.environ["BENTOML_DO_NOT_TRACK"] = "True"

import numpy as np
import pytest
from PIL import Image

from export.demo.phantom import make_phantom

DEMO = "demo"


@pytest.fixture(scope="session", autouse=True)
def _own_model_store(tmp_path_factory):
    """No test touches the user's model store, and no setting of the user's reaches a test."""
    patch = pytest.MonkeyPatch()
    patch.setenv("BENTOML_HOME", str(tmp_path_factory.mktemp("bentoml")))
    for name in [name for name in os.environ if name.startswith("CXR_") and name != "CXR_XRAYS"]:
        patch.delenv(name)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def demo_bundle(tmp_path_factory) -> Path:
    """The demo bundle, exported once for the whole run; not to be changed."""
    from export.bundle.build import export_bundle
    from export.checkpoints.weights import load_weights

    out = tmp_path_factory.mktemp("models")
    return export_bundle(load_weights(DEMO), out, None, lambda _line: None).folder


@pytest.fixture(scope="session")
def phantom_png():
    """Draw a phantom as a PNG file: `phantom_png(seed, opacity=…, size=…, bits=8 or 16)`."""

    def draw(seed: int = 1, *, opacity: bool = True, size: int = 224, bits: int = 8) -> bytes:
        pixels = make_phantom(seed, opacity, size).pixels
        kind = np.uint8 if bits == 8 else np.uint16
        buffer = io.BytesIO()
        Image.fromarray((pixels * (2**bits - 1) + 0.5).astype(kind)).save(buffer, "PNG")
        return buffer.getvalue()

    return draw


@pytest.fixture(scope="session")
def radiographs() -> Path:
    """The folder of real radiographs that CXR_XRAYS names."""
    folder = os.environ.get("CXR_XRAYS")
    if not folder:
        pytest.skip("CXR_XRAYS names no folder of real radiographs")
    return Path(folder)
