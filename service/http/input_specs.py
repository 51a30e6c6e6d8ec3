"""Inputs and outputs of the API methods, as BentoML's own clients are told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from bentoml.validators import ContentType
from pydantic import Field

from service.explain.drawing.heat_map import OPACITY
from service.http.framework import FileOutput, UnreadForm
from service.network.answer import PNEUMONIA

ImageFile = Annotated[Path, ContentType("image/*")]


class ImageForm(UnreadForm):
    """One radiograph."""

    image: ImageFile = Field(description="PNG, JPEG or DICOM file of a frontal chest radiograph.")


class ImagesForm(UnreadForm):
    """Several radiographs."""

    images: list[ImageFile] = Field(description="Files as for /predict, the field repeated.")


class ExplainForm(ImageForm):
    """One radiograph and which heat map of it is wanted."""

    target: str = Field(PNEUMONIA, description="Finding to explain, as /predict names it.")
    method: str | None = Field(None, description="How to make the map.")
    layer: str | None = Field(None, description="Where in the network to make it.")
    opacity: float = Field(OPACITY, description="Share of the map's colour where it is hottest.")
    captions: bool = Field(True, description="Whether to write beneath the picture.")
    faithfulness: bool = Field(False, description="Whether to measure faithfulness as well.")


class PngFile(FileOutput[Annotated[Path, ContentType("image/png")]]):
    """A PNG file."""

    media_type = "image/png"
