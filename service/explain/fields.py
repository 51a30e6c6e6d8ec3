"""Form fields of a heat map request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from service.errors import MalformedRequest, Unprocessable
from service.explain.cam.class_map import CAM, LAST_LAYER, ClassMap
from service.explain.drawing.heat_map import OPACITY
from service.network.answer import PNEUMONIA
from service.network.gate import Judgement


def _true_or_false(value: object) -> object:
    """Parse `true` and `false` in any case; pydantic's other spellings are refused."""
    if not isinstance(value, str):
        return value
    if value.lower() not in ("true", "false"):
        raise PydanticCustomError("true_or_false", "Input should be true or false")
    return value.lower() == "true"


ObjectKind = Literal["sr", "enhanced-sr", "basic-text-sr", "sc", "json"]
"""Comprehensive 3D, Enhanced and Basic Text SR, Secondary Capture, and the answer as JSON."""


def _listed(value: object) -> object:
    """Take a comma-separated text apart."""
    if isinstance(value, str):
        return tuple(dict.fromkeys(value.split(",")))
    return value


TrueOrFalse = Annotated[bool, BeforeValidator(_true_or_false)]


class ExplainFields(BaseModel):
    """The fields beside the image; each may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    target: str = Field(PNEUMONIA, description="Finding to explain, as /predict names it.")
    method: str | None = Field(None, description="How to make the map.")
    layer: str | None = Field(None, description="Where in the network to make it.")
    opacity: float = Field(
        OPACITY, ge=0, le=1, description="Share of the map's colour where it is hottest."
    )
    captions: TrueOrFalse = Field(True, description="Whether to write beneath the picture.")
    faithfulness: TrueOrFalse = Field(
        False, description="Also measure how the score falls when the hottest tenth is blurred."
    )
    picture_side: int = Field(
        default=65_535,
        ge=256,
        le=65_535,
        description="Longest side of a DICOM picture; a larger radiograph is halved until it fits.",
    )
    objects: Annotated[tuple[ObjectKind, ...], BeforeValidator(_listed)] = Field(
        (),
        description="For DICOM input: several objects of one explanation, separated by commas, as "
        "multipart/related: sr, enhanced-sr, basic-text-sr, sc, json.",
    )


_Row = Annotated[tuple[float, ...], Field(min_length=7, max_length=7)]
_Grid = Annotated[tuple[_Row, ...], Field(min_length=7, max_length=7)]


class ServedPrediction(BaseModel):
    """The served prediction that the explainer is to explain."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    logit: float
    runtime: str
    precision: str
    activation_map: _Grid | None = Field(
        default=None,
        description="The target's class activation map; None where another map is wanted.",
    )
    judgement: Judgement | None = Field(
        default=None,
        description="How unusual the image is; None without a map, whose pass says it anew.",
    )

    @property
    def class_map(self) -> ClassMap | None:
        """The map that came with the prediction."""
        if self.activation_map is None:
            return None
        return ClassMap(CAM, LAST_LAYER, np.array(self.activation_map, np.float32), self.logit)


SERVED_PREDICTION_HEADER = "x-cxr-served"
"""Carries what was served to the explainer. The gateway passes no such header of a caller on, so
that nobody else can say what was served."""


def read_fields(texts: Mapping[str, str]) -> ExplainFields:
    """Read the fields of a form; an empty one counts as left out.

    Raises:
        Unprocessable: A field is not known or has a value that is not allowed; `code` is
            `bad_field` and the message names it.
    """
    try:
        return ExplainFields.model_validate({name: text for name, text in texts.items() if text})
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part) for part in fault["loc"])
        raise Unprocessable(
            f"The field {name[:40]!r}: {fault['msg']}.", code="bad_field"
        ) from error


def as_texts(fields: ExplainFields) -> dict[str, str]:
    """The fields as form texts, for the explainer."""
    texts = fields.model_dump(exclude_none=True, exclude={"objects"})
    if fields.objects:
        texts["objects"] = ",".join(fields.objects)
    return {name: str(value) for name, value in texts.items()}


def read_served_prediction(header: str | None) -> ServedPrediction | None:
    """Read the served prediction from its header; None without one.

    Raises:
        MalformedRequest: The header is not one that the gateway writes.
    """
    if header is None:
        return None
    try:
        return ServedPrediction.model_validate_json(header)
    except ValidationError as error:
        raise MalformedRequest(f"The header {SERVED_PREDICTION_HEADER} cannot be read.") from error
