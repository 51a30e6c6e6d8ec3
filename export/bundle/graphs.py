"""One trace of the network, written as TorchScript and as ONNX."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import onnx
import torch

from export.bundle.network import ExportableNetwork

TORCHSCRIPT = "network.torchscript.pt"
ONNX = "network.onnx"
OPSET = 17


def trace(network: ExportableNetwork) -> torch.jit.ScriptModule:
    """Trace the network with a dynamic batch size."""
    example = torch.linspace(0, 1, 2 * 224 * 224).reshape(2, 1, 224, 224)
    with torch.no_grad():
        return torch.jit.trace(network, example)


def write_torchscript(traced: torch.jit.ScriptModule, folder: Path) -> Path:
    """Write the trace with its submodules, so that gradients can be taken at each.

    PyTorch also writes where each line was traced, with the folders of this machine and the program
    that called: it is left out, and the file is the same wherever it was written.
    """
    path = folder / TORCHSCRIPT
    whole = io.BytesIO()
    torch.jit.save(traced, whole)
    whole.seek(0)
    reader = torch._C.PyTorchFileReader(whole)
    writer = torch._C.PyTorchFileWriter(str(path))
    for name in reader.get_all_records():
        # The writer adds these two itself; the second is a digest of the others.
        if not name.endswith(".debug_pkl") and name not in ("version", ".data/serialization_id"):
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return path


def write_onnx(traced: torch.jit.ScriptModule, folder: Path) -> Path:
    """Write the same trace as ONNX with a dynamic batch, and check it.

    The exporter that reads a trace takes 1 s here, the one that captures the module anew 11 s,
    and the graphs are the same node for node; so one trace makes both files.

    Raises:
        onnx.checker.ValidationError: The file is not valid ONNX.
    """
    path = folder / ONNX
    names = ("pixels", "logits", "cams", "features")
    example = torch.zeros(1, 1, 224, 224)
    with warnings.catch_warnings():
        # It is announced as legacy; torch is pinned, and parity is proven on every export.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "no signature found", UserWarning)
        torch.onnx.export(
            traced,
            (example,),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=[names[0]],
            output_names=list(names[1:]),
            dynamic_axes={name: {0: "batch"} for name in names},
        )
    onnx.checker.check_model(path, full_check=True)
    return path
