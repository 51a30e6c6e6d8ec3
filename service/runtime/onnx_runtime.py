"""ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from service.errors import BundleRefused
from service.runtime import Outputs


class OnnxRuntime:
    """A session over one ONNX file."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def run(self, pixels: np.ndarray) -> Outputs:
        logits, cams = self._session.run(["logits", "cams"], {"pixels": pixels})
        return Outputs(logits, cams)


def open_variant(path: Path, threads: int | None) -> OnnxRuntime:
    """Open an ONNX file.

    Raises:
        BundleRefused: ONNX Runtime cannot load it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    # An idle pool that spins would take the cores from decoding and from other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            path, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exception classes share no base but this one
        raise BundleRefused(f"{path} cannot be loaded by ONNX Runtime: {error}") from error
    return OnnxRuntime(session)
