"""Online work: from a verified model bundle to answers.

`bentoml serve service:ChestRadiographs` starts the service; the classes are imported when they
are asked for, so that `import service` costs nothing.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

__version__ = "0.2.0"

# Nothing is sent to anybody. ONNX Runtime 1.32 keeps events on disk and sends them to its maker
# unless this is set before it is imported; OpenVINO tells Google Analytics that it was imported
# unless the package that does so cannot be.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

__all__ = ["ChestRadiographs", "Explainer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("service.app"), name)
