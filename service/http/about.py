"""`/about.json`: the model, the heat map methods and the limits."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from service.explain.cam.request import OFFERED
from service.explain.drawing.figure import NAMES
from service.network.answer import DEMO_WARNING, ModelAnswer, model_answer
from service.network.bundle import read_manifest
from service.network.runtime.selection import select
from service.settings import Settings, bundle_folder


class MethodAnswer(BaseModel):
    """A heat map method."""

    model_config = ConfigDict(frozen=True)

    method: str = Field(description="As the field `method` takes it.")
    name: str = Field(description="As its paper writes it.")
    layers: tuple[str, ...] = Field(description="Where it is offered, shallowest first.")


class About(BaseModel):
    """The model that answers, the heat map methods and the limits."""

    model_config = ConfigDict(frozen=True)

    model: ModelAnswer
    findings: tuple[str, ...] = Field(description="What these weights predict.")
    methods: tuple[MethodAnswer, ...]
    max_bytes: int = Field(description="Of a request's body.")
    notice: str | None = Field(description="What every reader must know of these weights.")


def about(settings: Settings) -> About:
    """Build the answer from the settings and the bundle's manifest.

    Raises:
        SetupFault: The bundle has gone since the service was started.
    """
    manifest = read_manifest(bundle_folder(settings))
    chosen = select(manifest, settings.runtime, settings.precision, settings.device)
    model = model_answer(manifest, chosen.variant)
    return About(
        model=model,
        findings=manifest.named(),
        methods=tuple(
            MethodAnswer(method=method, name=NAMES[method], layers=layers)
            for method, layers in OFFERED.items()
        ),
        max_bytes=settings.max_bytes,
        notice=DEMO_WARNING if model.demo else None,
    )
