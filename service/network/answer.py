"""The answer for one image, as `/predict` and `cxr predict --json` give it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from service.network.bundle import Manifest, Variant
from service.network.gate import Judgement, Verdict
from service.network.scores import Finding
from service.network.site import Site, SiteDecision, SiteReference
from service.radiograph.preprocess import Geometry, ModelInput
from service.radiograph.radiograph import Radiograph
from service.settings import Framing

PNEUMONIA = "Pneumonia"

DEMO_WARNING = (
    "Demo weights: trained on one hospital's radiographs of children aged 1 to 5 to show this "
    "software. Not for clinical use."
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class PathologyAnswer(_Part):
    """Probability, score and decision of one finding."""

    score: float = Field(ge=0, le=1, description="Rescaled so that 0.5 is the operating point.")
    probability: float = Field(ge=0, le=1, description="Sigmoid of the logit, not calibrated.")
    positive: bool = Field(description="Whether the score is over 0.5.")
    site: SiteDecision | None = Field(
        default=None, description="By the site's own file; null where it has nothing for this one."
    )


class MarginsAnswer(_Part):
    """Margins at the edges of the image, in pixels."""

    left: int
    top: int
    right: int
    bottom: int


class CropAnswer(_Part):
    """The square of the image that is scored."""

    left: int = Field(description="First column inside; below 0 where black was added.")
    top: int = Field(description="First row inside; below 0 where black was added.")
    side: int = Field(description="Columns, and rows.")
    framing: Framing = Field(
        description="crop: the middle of the image; letterbox: all of it, with black beside it."
    )
    border: MarginsAnswer | None = Field(
        description="The border that was cut off before; null where none was."
    )


class ImageAnswer(_Part):
    """The image that was scored."""

    width: int = Field(description="Columns of the image as sent.")
    height: int = Field(description="Rows of the image as sent.")
    format: str
    bits: int = Field(description="Significant bits of a stored grey value.")
    intensity: str = Field(description="How stored values became grey levels.")
    photometric_interpretation: str = Field(
        description="DICOM's term, or the kind of pixels of a raster file."
    )
    transfer_syntax: str | None = Field(description="How a DICOM file stores its pixels.")
    view: str | None = Field(description="View position of a DICOM file: PA, AP.")
    crop: CropAnswer
    sha256_pixels: str = Field(
        description="SHA-256 of the 224 x 224 little-endian float32 pixels that were scored."
    )


class InputAnswer(_Part):
    """How unusual the image is beside the reference radiographs."""

    verdict: Verdict = Field(
        description="usual; unusual: do not rely on the scores; unknown: no reference was fitted. "
        "What is refused is not scored."
    )
    distance: float | None = Field(
        description="Distance from the reference radiographs; 1 is their median."
    )
    typical: tuple[float, float] | None = Field(
        description="5 % and 95 % of the reference radiographs' own distances."
    )
    reasons: list[str] = Field(description="Codes of what is unusual.")


class ModelAnswer(_Part):
    """The model that scored the image."""

    name: str
    version: str
    weights: str
    weights_sha256: str
    runtime: str
    precision: str
    demo: bool


class Prediction(_Part):
    """How likely each finding is on one radiograph."""

    finding: str = Field(description="The finding that the service is about.")
    positive: bool
    score: float = Field(ge=0, le=1)
    probability: float = Field(ge=0, le=1)
    input: InputAnswer
    pathologies: dict[str, PathologyAnswer]
    image: ImageAnswer
    model: ModelAnswer
    site: SiteReference | None = Field(
        default=None, description="The site file that answered beside; null without one."
    )
    warnings: list[str]


def model_answer(manifest: Manifest, variant: Variant) -> ModelAnswer:
    """Describe the model, runtime and precision."""
    return ModelAnswer(
        name=manifest.name,
        version=manifest.version,
        weights=manifest.weights.name,
        weights_sha256=manifest.weights.sha256,
        runtime=variant.runtime,
        precision=variant.precision,
        demo=manifest.weights.demo,
    )


def image_answer(radiograph: Radiograph, model_input: ModelInput) -> ImageAnswer:
    """Describe the scored image, without patient data."""
    source, geometry = radiograph.source, model_input.geometry
    return ImageAnswer(
        width=source.width,
        height=source.height,
        format=source.format,
        bits=source.bits,
        intensity=source.intensity,
        photometric_interpretation=source.photometric_interpretation,
        transfer_syntax=source.transfer_syntax,
        view=source.view,
        crop=crop_answer(geometry),
        sha256_pixels=model_input.sha256,
    )


def crop_answer(geometry: Geometry) -> CropAnswer:
    """Say where the network's square lies in the image."""
    cut = geometry.cut
    return CropAnswer(
        left=geometry.left,
        top=geometry.top,
        side=geometry.side,
        framing=geometry.framing,
        border=MarginsAnswer(**cut._asdict()) if any(cut) else None,
    )


def input_answer(judgement: Judgement) -> InputAnswer:
    """Describe how unusual an image is."""
    return InputAnswer(
        verdict=judgement.verdict,
        distance=judgement.distance,
        typical=judgement.typical,
        reasons=list(judgement.reasons),
    )


def prediction(
    findings: tuple[Finding, ...],
    image: ImageAnswer,
    model: ModelAnswer,
    judgement: Judgement,
    warnings: tuple[str, ...],
    site: Site | None = None,
) -> Prediction:
    """Build an answer; pneumonia comes first where the weights predict it.

    Args:
        findings: Of all named outputs.
        image: What is said of the file.
        model: What scored it.
        judgement: How unusual the image is.
        warnings: Of the file; those of the judgement stand before them.
        site: What was fitted to the site; None where nothing was.
    """
    pathologies = {
        finding.label: PathologyAnswer(
            score=finding.score,
            probability=finding.probability,
            positive=finding.positive,
            site=site.decision(finding.label, finding.probability) if site else None,
        )
        for finding in findings
    }
    leading = pathologies[PNEUMONIA]
    demo = (DEMO_WARNING,) if model.demo else ()
    return Prediction(
        finding=PNEUMONIA,
        positive=leading.positive,
        score=leading.score,
        probability=leading.probability,
        input=input_answer(judgement),
        pathologies=pathologies,
        image=image,
        model=model,
        site=site.reference if site else None,
        warnings=[*demo, *judgement.warnings, *warnings],
    )
