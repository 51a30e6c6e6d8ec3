"""Inputs and outputs of the API methods, as BentoML's own clients are told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from bentoml.validators import ContentType
from pydantic import Field, create_model

from service.explain.fields import ExplainFields
from service.http.framework import FileOutput, UnreadForm

ImageFile = Annotated[Path, ContentType("image/*")]


class ImageForm(UnreadForm):
    """One radiograph."""

    image: ImageFile = Field(description="PNG, JPEG or DICOM file of a frontal chest radiograph.")


class ImagesForm(UnreadForm):
    """Several radiographs."""

    images: list[ImageFile] = Field(description="Files as for /predict, the field repeated.")


_EXPLAIN_FIELDS: dict[str, Any] = {
    name: (field.annotation, Field(field.default, description=field.description))
    for name, field in ExplainFields.model_fields.items()
}

ExplainForm = create_model(
    "ExplainForm",
    __base__=ImageForm,
    __doc__="One radiograph and which heat map of it is wanted.",
    **_EXPLAIN_FIELDS,
)


class PngFile(FileOutput[Annotated[Path, ContentType("image/png")]]):
    """A PNG file."""

    media_type = "image/png"
