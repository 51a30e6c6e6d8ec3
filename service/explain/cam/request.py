"""Validation of a requested target, method and layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.errors import UnknownTarget, Unprocessable
from service.explain.cam.class_map import CAM, LAST_LAYER, LAYERS

METHODS = ("gradcam", "gradcam++", "hirescam", "layercam", CAM)

DEFAULT_METHOD = "gradcam"
DEFAULT_LAYER = LAST_LAYER

OFFERED: dict[str, tuple[str, ...]] = {
    "gradcam": LAYERS,
    "gradcam++": ("denseblock2", "denseblock3", "denseblock4"),
    "hirescam": LAYERS,
    "layercam": ("denseblock1", "denseblock2"),
    CAM: (LAST_LAYER,),
}
"""Layers at which each method is offered, the one that stands where none is named last.

Left out is what does not depend on the weights enough: a median rank correlation of 0.5 or more
with the maps of a network whose classifier and last block are random, on phantoms or on
radiographs (`python -m bench.sanity`). Both methods that drop negative gradients fail it at the
layers where little but the features themselves is left.
"""


@dataclass(frozen=True)
class MapRequest:
    """A valid request for a class map.

    Attributes:
        target: Name of the pathology.
        output: The network's output that predicts it.
        method: A key of `OFFERED`.
        layer: One of the layers at which it is offered.
    """

    target: str
    output: int
    method: str
    layer: str


def target_index(target: str, labels: Sequence[str]) -> int:
    """The output that predicts `target`.

    Raises:
        UnknownTarget: These weights do not name it; the answer lists those that they name.
    """
    if target and target in labels:
        return labels.index(target)
    known = [label for label in labels if label]
    raise UnknownTarget(
        f"These weights predict no {target!r}; they predict {', '.join(known)}.", known=known
    )


def map_request(
    labels: Sequence[str], target: str, method: str | None = None, layer: str | None = None
) -> MapRequest:
    """Validate target, method and layer.

    Args:
        labels: One per output, "" where these weights do not predict anything there.
        target: Name of the pathology.
        method: How to make the map; `DEFAULT_METHOD` where left out.
        layer: Where; `DEFAULT_LAYER` where left out, or the last that the method is offered at.

    Raises:
        UnknownTarget: These weights do not name the target.
        Unprocessable: No such method (code `unknown_method`), no such layer (`unknown_layer`),
            or not this method at this layer (`not_offered`); the answer lists what there is.
    """
    output = target_index(target, labels)
    method = method or DEFAULT_METHOD
    if method not in OFFERED:
        raise Unprocessable(
            f"There is no method {method!r}; there are {', '.join(OFFERED)}.",
            code="unknown_method",
            known=list(OFFERED),
        )
    offered = OFFERED[method]
    if not layer:
        layer = DEFAULT_LAYER if DEFAULT_LAYER in offered else offered[-1]
    if layer not in LAYERS:
        raise Unprocessable(
            f"There is no layer {layer!r}; there are {', '.join(LAYERS)}.",
            code="unknown_layer",
            known=list(LAYERS),
        )
    if layer not in offered:
        raise Unprocessable(
            f"{method} is not offered at {layer}; it is at {', '.join(offered)}.",
            code="not_offered",
            known=list(offered),
        )
    return MapRequest(target, output, method, layer)
