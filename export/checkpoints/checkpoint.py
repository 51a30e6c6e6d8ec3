"""Reading checkpoints: safetensors and PyTorch files.

Reading a pickled module runs code that the file brings along. So that happens here alone, on
bytes that the caller vouches for, and on those same bytes, not on a file read a second time.
"""

from __future__ import annotations

import io
import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from export.checkpoints import upstream
from export.errors import WeightsRefused

MAX_BYTES = 512 * 2**20
"""No checkpoint of this network comes near; a larger file is a mistake."""

TORCH_SUFFIXES = (".pt", ".pth")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The content of a checkpoint file.

    Attributes:
        state: float32 tensors under the library's names, without `num_batches_tracked`.
        labels: What the file itself states, unchecked (see `export.checkpoints.labels`);
            None for nothing.
        operating_points: Likewise.
    """

    state: dict[str, torch.Tensor]
    labels: object = None
    operating_points: object = None


def read_bytes(path: Path) -> bytes:
    """The whole file.

    Raises:
        WeightsRefused: It cannot be read, or is too large to be a checkpoint of this network.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise WeightsRefused(f"{path} has {size:,} bytes: no checkpoint of this network.")
        return path.read_bytes()
    except OSError as error:
        raise WeightsRefused(f"{path} cannot be read: {error.strerror}.") from error


def checked_state(tensors: Mapping[Any, Any], origin: str) -> dict[str, torch.Tensor]:
    """Convert a state dict to the library's names and float32; refuse others.

    A `module.` before every name (torch.nn.DataParallel) is taken off. `num_batches_tracked`
    may be missing and is left out: it only counts training steps.

    Raises:
        WeightsRefused: A tensor is missing, unknown, of another shape, not of floating point
            numbers, or not finite; the message names it.
    """
    names = [str(name) for name in tensors]
    prefix = "module." if names and all(name.startswith("module.") for name in names) else ""
    given = {str(name).removeprefix(prefix): tensor for name, tensor in tensors.items()}
    expected = upstream.expected_shapes()
    for name in given:
        if name not in expected:
            raise WeightsRefused(f'{origin}: "{name}" is no tensor of this network.')
    state = {}
    for name, shape in expected.items():
        if name.endswith("num_batches_tracked"):
            continue
        tensor = given.get(name)
        if tensor is None:
            raise WeightsRefused(f'{origin}: the tensor "{name}" is missing.')
        if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided:
            raise WeightsRefused(f'{origin}: "{name}" is no dense tensor.')
        if tuple(tensor.shape) != shape:
            raise WeightsRefused(
                f'{origin}: "{name}" has the shape {tuple(tensor.shape)}, expected {shape}.'
            )
        if not tensor.is_floating_point():
            raise WeightsRefused(f'{origin}: "{name}" holds {tensor.dtype}, not floating point.')
        # Copied, since tensors that share memory cannot be written to safetensors; by numpy, since
        # torch would start its threads for each of these small tensors.
        values = tensor.detach().to("cpu", torch.float32).numpy().copy(order="C")
        state[name] = torch.from_numpy(values)
        if not np.isfinite(values).all():
            raise WeightsRefused(f'{origin}: "{name}" holds numbers that are not finite.')
    return state


def read_safetensors(data: bytes, origin: str) -> Checkpoint:
    """Read a safetensors file; nothing in it can run.

    Its metadata may hold `labels` and `op_threshs`, both JSON lists.

    Raises:
        WeightsRefused: It is damaged or does not fit this network.
    """
    try:
        tensors = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise WeightsRefused(f"{origin}: a damaged safetensors file: {error}.") from error
    # The loader took the header, so it is well-formed; it does not hand the metadata out.
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    stated: dict[str, Any] = {}
    for key in ("labels", "op_threshs"):
        try:
            stated[key] = json.loads(metadata[key]) if key in metadata else None
        except ValueError as error:
            raise WeightsRefused(f'{origin}: its metadata "{key}" is no JSON.') from error
    return Checkpoint(checked_state(tensors, origin), stated["labels"], stated["op_threshs"])


def write_safetensors(state: Mapping[str, torch.Tensor]) -> bytes:
    """The safetensors file that `read_safetensors` reads back to the same numbers."""
    return safetensors.torch.save(dict(state))


def read_torch(data: bytes, origin: str, *, trusted: bool) -> Checkpoint:
    """Read what `torch.save` wrote: a state dict, or (where trusted) a whole pickled module.

    Args:
        data: The file.
        origin: Its name, for messages.
        trusted: Whether code that the file brings along may run.

    Raises:
        WeightsRefused: Damaged, or not readable without running code from it and not trusted, or
            it does not fit this network.
    """
    content = _unpickle(data, origin) if trusted else _load_plain(data, origin)
    labels: object = None
    points: object = None
    if isinstance(content, torch.nn.DataParallel):
        content = content.module
    if isinstance(content, torch.nn.Module):
        # Only what was set on this very module: the class has a list of all 18 pathologies,
        # which would name outputs that were never trained.
        own = vars(content)
        labels = own.get("targets", own.get("pathologies"))
        points = getattr(content, "op_threshs", None)
        for module in content.modules():
            # Absent from modules pickled by PyTorch before 1.6; state_dict() asks for it.
            module.__dict__.setdefault("_non_persistent_buffers_set", set())
        content = content.state_dict()
    if not isinstance(content, Mapping):
        raise WeightsRefused(f"{origin}: neither a module nor a state dict.")
    tensors = dict(content)
    points = tensors.pop("op_threshs", points)
    if isinstance(points, torch.Tensor):
        points = points.tolist()
    if isinstance(labels, np.ndarray):
        labels = labels.tolist()
    return Checkpoint(checked_state(tensors, origin), labels, points)


def _load_plain(data: bytes, origin: str) -> object:
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsRefused(
            f"{origin} cannot be read without running code from it: it is damaged, or holds more "
            "than tensors. If you know where it comes from, give its --sha256 or --trust-pickle.",
            code="pickle_not_trusted",
        ) from error
    except Exception as error:  # what a damaged file raises here is not documented
        raise WeightsRefused(f"{origin} is damaged or no PyTorch file.") from error


def _unpickle(data: bytes, origin: str) -> object:
    try:
        with warnings.catch_warnings():
            # A class whose source changed since it was pickled; only its tensors are used.
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling may raise anything
        raise WeightsRefused(f"{origin} is damaged or no PyTorch file.") from error
