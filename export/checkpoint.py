"""Read a checkpoint: bytes of a safetensors or PyTorch file to a state dict that fits.

Reading a pickled module runs code that the file brings along. So that happens here alone, on
bytes that the caller vouches for, and on those same bytes, not on a file read a second time.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from export import upstream
from export.errors import WeightsRefused

OUTPUTS = 18
"""Outputs of every published DenseNet (`torchxrayvision.datasets.default_pathologies`)."""

MAX_BYTES = 512 * 2**20
"""No checkpoint of this network comes near; a larger file is a mistake."""

TORCH_SUFFIXES = (".pt", ".pth")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What one file holds.

    Attributes:
        state: float32 tensors under the library's names, without `num_batches_tracked`.
        labels: One per output, as the file itself states them; None where it does not.
        operating_points: One per output, NaN where there is none; None where not stated.
    """

    state: dict[str, torch.Tensor]
    labels: tuple[str, ...] | None = None
    operating_points: tuple[float, ...] | None = None


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


def parse_labels(value: Any, origin: str) -> tuple[str, ...]:
    """Labels from JSON or a pickled module, checked.

    Raises:
        WeightsRefused: Not 18 strings, one that occurs twice, or none that is "Pneumonia".
    """
    if not isinstance(value, Sequence) or not all(isinstance(label, str) for label in value):
        raise WeightsRefused(f"{origin}: the labels are not a list of strings.")
    labels = tuple(value)
    named = [label for label in labels if label]
    if len(labels) != OUTPUTS:
        raise WeightsRefused(f"{origin}: {len(labels)} labels for {OUTPUTS} outputs.")
    if len(set(named)) != len(named):
        raise WeightsRefused(f"{origin}: a label occurs twice.")
    if "Pneumonia" not in named:
        raise WeightsRefused(f'{origin}: no output is labelled "Pneumonia".')
    return labels


def parse_operating_points(value: Any, origin: str) -> tuple[float, ...]:
    """Operating points from JSON (None for none) or a pickled module (NaN), checked.

    Raises:
        WeightsRefused: Not 18 numbers, or one outside (0, 1).
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise WeightsRefused(f"{origin}: the operating points are not a list.")
    if len(value) != OUTPUTS:
        raise WeightsRefused(f"{origin}: {len(value)} operating points for {OUTPUTS} outputs.")
    points = []
    for index, point in enumerate(value):
        if point is not None and (isinstance(point, bool) or not isinstance(point, int | float)):
            raise WeightsRefused(f"{origin}: operating point {index} is not a number.")
        number = math.nan if point is None else float(point)
        if not (math.isnan(number) or 0 < number < 1):
            raise WeightsRefused(f"{origin}: operating point {index} is {number:g}, not in (0, 1).")
        points.append(number)
    return tuple(points)


def checked_state(tensors: Mapping[Any, Any], origin: str) -> dict[str, torch.Tensor]:
    """Bring a state dict into the library's names, float32, and refuse what does not fit.

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
        state[name] = tensor.detach().to("cpu", torch.float32).contiguous().clone()
        if not bool(state[name].isfinite().all()):
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
    return _checkpoint(tensors, stated["labels"], stated["op_threshs"], origin)


def write_safetensors(checkpoint: Checkpoint) -> bytes:
    """The safetensors file that `read_safetensors` reads back exactly."""
    metadata = {}
    if checkpoint.labels is not None:
        metadata["labels"] = json.dumps(checkpoint.labels)
    if checkpoint.operating_points is not None:
        points = [None if math.isnan(point) else point for point in checkpoint.operating_points]
        metadata["op_threshs"] = json.dumps(points)
    return safetensors.torch.save(checkpoint.state, metadata)


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
    labels = points = None
    if isinstance(content, torch.nn.DataParallel):
        content = content.module
    if isinstance(content, torch.nn.Module):
        # Only what was set on this very module: the class has a list of all 18 pathologies,
        # which would name outputs that were never trained.
        own = vars(content)
        labels = own.get("targets") or own.get("pathologies")
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
    return _checkpoint(tensors, labels, points, origin)


def _checkpoint(tensors: Mapping[Any, Any], labels: Any, points: Any, origin: str) -> Checkpoint:
    return Checkpoint(
        checked_state(tensors, origin),
        None if labels is None else parse_labels(labels, origin),
        None if points is None else parse_operating_points(points, origin),
    )


def _load_plain(data: bytes, origin: str) -> Any:
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


def _unpickle(data: bytes, origin: str) -> Any:
    try:
        with warnings.catch_warnings():
            # A class whose source changed since it was pickled; only its tensors are used.
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling may raise anything
        raise WeightsRefused(f"{origin} is damaged or no PyTorch file.") from error
