"""What BentoML is told of our endpoints' input, without letting it read the request.

Left to itself the framework writes uploads to disk, fetches addresses given for files and
answers faults in shapes of its own. So a form hands the request through unread; the fields are
there for the OpenAPI document and BentoML's own clients.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from _bentoml_sdk import IODescriptor
from _bentoml_sdk.io_models import IORootModel
from bentoml.validators import ContentType
from pydantic import Field
from starlette.requests import Request

from service.explain.drawing.heat_map import OPACITY
from service.network.answer import PNEUMONIA

ImageFile = Annotated[Path, ContentType("image/*")]


class _UnreadForm(IODescriptor):
    """A form whose fields all hold the request itself, its body not read yet."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> IODescriptor:
        return cls.model_construct(**dict.fromkeys(cls.model_fields, request))


class ImageForm(_UnreadForm):
    """One radiograph."""

    image: ImageFile = Field(description="PNG, JPEG or DICOM file of a frontal chest radiograph.")


class ImagesForm(_UnreadForm):
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


class PngFile(IORootModel[Annotated[Path, ContentType("image/png")]]):
    """A PNG file."""

    media_type = "image/png"
