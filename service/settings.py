"""Everything that can be set, read once from the environment into one typed object."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import SettingRefused

RuntimeName = Literal["onnxruntime", "openvino", "torchscript"]
Precision = Literal["float32", "bfloat16", "int8", "int8w7"]
"""int8w7: activations of 8 bits and weights of 7, whose products saturate on no processor."""
Device = Literal["cpu", "cuda", "tensorrt", "gpu"]
"""cuda and tensorrt are ONNX Runtime's providers for NVIDIA, gpu is OpenVINO's for Intel."""
Framing = Literal["crop", "letterbox"]
BodyPart = Literal["refuse", "warn"]
GateAction = Literal["refuse", "warn", "off"]

PREFIX = "CXR_"
"""Of the environment variables that are settings."""

_NO_SETTINGS = frozenset({"CXR_XRAYS", "CXR_HEARTBEATS", "CXR_STDERR_PIPE"})
"""Variables of the same prefix that are no settings: of the tests, and of our own processes."""

PINNED = "BUNDLE"
"""File beside this one, only in a bento: the exact tag of the model that it was built with."""


class Settings(BaseSettings):
    """Settings of the service; each is read from the environment as CXR_ and its name.

    A value that is not allowed is refused by its key's name when the settings are read.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    bundle: str = Field(
        default_factory=lambda: pinned_bundle() or "models/demo",
        description="Folder of the model bundle, or bento:NAME:VERSION in BentoML's model store.",
    )
    site: Path | None = Field(
        None,
        description="Site file of `cxr calibrate`, fitted to this bundle; answers then have the "
        "site's own decision and calibrated probability beside the weights' own.",
    )
    runtime: RuntimeName | None = Field(
        None, description="Runtime to predict with; the bundle's own choice where left out."
    )
    precision: Precision | None = Field(
        None, description="Precision to predict with; the bundle's own choice where left out."
    )
    device: Device = Field(
        "cpu",
        description="cpu; cuda or tensorrt for ONNX Runtime on NVIDIA; gpu for OpenVINO on Intel.",
    )
    threads: int | None = Field(
        None, ge=1, le=256, description="Threads of the runtime; what the process may use if unset."
    )
    streams: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Runs at one time that share the threads (OpenVINO only); if unset, one a "
        "thread, and a lone run has all of them where that is quicker.",
    )
    check_choice: bool = Field(
        False,
        description="On another kind of machine than the exporting one, measure before serving "
        "whether the bundle's choice is the fastest, and log it where it is not; takes 10 to 20 s.",
    )
    max_bytes: int = Field(
        64 << 20, ge=1 << 10, le=1 << 30, description="Bytes of a request's body at the most."
    )
    max_held_bytes: int = Field(
        512 << 20,
        ge=1 << 20,
        description="Bytes of all uploads and pictures that a process holds at one time at the "
        "most; beyond it, 429.",
    )
    decode_bytes: int | None = Field(
        None,
        ge=64 << 20,
        description="Bytes that decoding may take in a process for all images together; an image "
        "waits for room, and one that alone takes more is refused with 413. If unset, the "
        "process's part of the container's memory limit (or of the machine's memory), less what "
        "the process holds once it is warm, CXR_MAX_HELD_BYTES and a reserve.",
    )
    # A chest detector has up to 4300 x 4300 pixels, and film of 35 x 43 cm that is digitised at
    # 400 dots an inch, more than is usual, 5512 x 6772: 37 million.
    max_pixels: int = Field(
        40_000_000, ge=1024, le=1 << 30, description="Rows times columns of an image at the most."
    )
    shortest_side: int = Field(
        32, ge=1, le=224, description="Pixels that each side of an image has at the least."
    )
    longest_side: int = Field(
        20_000, ge=224, le=65_535, description="Pixels that a side of an image has at the most."
    )
    decode_seconds: float = Field(
        10.0, gt=0, le=300, description="Seconds that decoding one image may take."
    )
    voi_lut: bool = Field(
        True,
        description="Apply a DICOM file's VOI LUT or window, as a viewer does; off, stored values "
        "are taken over their full range, as TorchXRayVision does.",
    )
    body_part: BodyPart = Field(
        "refuse",
        description="What becomes of a DICOM file that names another body part than the chest.",
    )
    gate: GateAction = Field(
        "refuse",
        description="What becomes of an image that is far outside of what the reference holds: "
        "refuse does not score it, warn scores it with a warning; off measures no distance.",
    )
    reference: Path | None = Field(
        None,
        description="File that `cxr reference` wrote; if unset, the bundle's own.",
    )
    framing: Framing = Field(
        "crop",
        description="How an image that is not square becomes the network's square: crop takes its "
        "middle, letterbox all of it with black beside it. The weights were trained on crops.",
    )
    trim_border: bool = Field(
        False, description="Cut a black or white border off where it is certain that it is one."
    )
    body_seconds: float = Field(
        15.0, gt=0, le=600, description="Seconds within which a request's body must have arrived."
    )
    answer_seconds: float = Field(
        60.0,
        gt=0,
        le=600,
        description="Seconds within which a caller must have taken a picture; beyond it, the "
        "connection is closed.",
    )
    max_images: int = Field(
        64, ge=1, le=1000, description="Images of one /predict_batch at the most."
    )
    max_batch: int = Field(
        8,
        ge=1,
        le=64,
        description="Images that the runtime takes at once, at the most. OpenVINO compiles the "
        "network for this many and for 1, 4, 8, 16 and 32 as far as they are below it; each size "
        "takes memory and time at the start.",
    )
    queue: int = Field(
        128, ge=1, le=10_000, description="Images that may wait for the runtime; beyond it, 429."
    )
    decoders: int = Field(2, ge=1, le=64, description="Threads that decode images.")
    deadline_seconds: float = Field(
        10.0, gt=0, le=300, description="Seconds within which a prediction is answered or dropped."
    )
    stall_seconds: float = Field(
        7.0,
        gt=0,
        le=600,
        description="Seconds after which a process that does not move is taken for hung.",
    )
    explain_queue: int = Field(
        32, ge=1, le=1000, description="Heat maps that may wait to be drawn; beyond it, 429."
    )
    explain_deadline_seconds: float = Field(
        60.0, gt=0, le=300, description="Seconds within which a heat map is answered."
    )
    explain_threads: int = Field(
        1, ge=1, le=64, description="Threads of the process that draws heat maps."
    )
    explain_nice: int = Field(
        5,
        ge=0,
        le=19,
        description="How far the process that draws heat maps stands back for predictions.",
    )
    drain_seconds: float = Field(
        20.0, ge=0, le=300, description="Seconds to finish accepted work when told to stop."
    )
    grpc_port: int | None = Field(
        None,
        ge=1,
        le=65_535,
        description="Port of the Open Inference Protocol over gRPC; off if unset.",
    )
    grpc_host: str = Field(
        "127.0.0.1",
        description="IP address that it listens on; `cxr serve` takes that of `--host`.",
    )
    api_keys_file: Path | None = Field(
        None, description="File of the SHA-256 digests of accepted API keys, one a line."
    )
    allow_anonymous: bool = Field(
        False,
        description="Without a file of API keys, serve callers on addresses other than loopback "
        "and those whom a proxy on this machine stands for.",
    )
    monitoring_log: Path | None = Field(
        None,
        description="Folder of a log of numbers for `cxr watch`: a Parquet folder a day of scores "
        "and coarse facts of acquisition, without anything that identifies anybody. Off if unset; "
        "needs the extra `archive`.",
    )
    shadow: str | None = Field(
        None,
        description="Second bundle, as CXR_BUNDLE, that scores some of the images again after they "
        "were answered, for `cxr watch --shadow`; needs CXR_MONITORING_LOG.",
    )
    shadow_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share of the images that the second bundle is to score, as far as there is "
        "room.",
    )
    log_requests: bool = Field(True, description="Log one JSON line a request.")
    explainer_url: str | None = Field(
        None, description="Where the explainer is, if it is not a process of this service."
    )

    @property
    def longest_seconds(self) -> float:
        """No request takes longer, whatever becomes of it: the deadlines of its stages, added up.

        The images of a batch wait for one another at the worst.
        """
        turns = 1 + self.max_images / self.max_batch
        worked_on = turns * self.deadline_seconds + self.explain_deadline_seconds
        return self.body_seconds + worked_on + self.answer_seconds


def read_settings(**overrides: object) -> Settings:
    """Read the settings from the environment.

    Args:
        **overrides: Values that win over the environment; None counts as not given.

    Raises:
        SettingRefused: A value is not allowed; the message names its key.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        reasons = [
            f"CXR_{'.'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False)
        ]
        raise SettingRefused("; ".join(reasons)) from error


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Say which environment variables look like settings and are none.

    Args:
        names: Names of environment variables; as settings are read, case does not matter.

    Returns:
        One sentence a variable, with the setting whose name is nearest where one is near.
    """
    settings = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    unknown = {name for name in names if name.upper().startswith(PREFIX)}
    sentences = []
    for name in sorted(unknown - _NO_SETTINGS):
        if name.upper() in settings:
            continue
        near = get_close_matches(name.upper(), settings, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        sentences.append(f"{name} is no setting and has no effect{meant}")
    return sentences


def pinned_bundle() -> str | None:
    """The bundle that was pinned when this code was packed into a bento, if it was."""
    note = Path(__file__).with_name(PINNED)
    return note.read_text(encoding="utf-8").strip() if note.is_file() else None


def bundle_folder(settings: Settings) -> Path:
    """The folder that `settings.bundle` names.

    Raises:
        SettingRefused: The model store has no such model.
    """
    return _folder("CXR_BUNDLE", settings.bundle)


def shadow_folder(settings: Settings) -> Path | None:
    """The folder that `settings.shadow` names; None where it names none.

    Raises:
        SettingRefused: The model store has no such model.
    """
    return _folder("CXR_SHADOW", settings.shadow) if settings.shadow else None


def _folder(key: str, name: str) -> Path:
    if not name.startswith("bento:"):
        return Path(name)
    import bentoml

    tag = name.removeprefix("bento:")
    if tag.count(":") != 1 or tag.endswith(":latest"):
        raise SettingRefused(f"{key}: {tag} is not an exact tag of the form NAME:VERSION")
    try:
        return Path(bentoml.models.get(tag).path)
    except bentoml.exceptions.NotFound as error:
        raise SettingRefused(f"{key}: the model store holds no {tag}") from error
