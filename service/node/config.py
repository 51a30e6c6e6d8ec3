"""What `node.toml` says: who may send, where the service is, and where results go."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from service.errors import SettingRefused

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

AeTitle = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$")]
"""At most 16 characters without backslash and control characters (PS3.5, 6.2)."""
Port = Annotated[int, Field(ge=1, le=65_535)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
ResultKind = Literal["sr", "sc"]
DestinationKind = Literal["dimse", "stow", "fhir", "folder"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tls(_Table):
    """Certificates of one side; the other side's are verified against `ca`."""

    certificate: Path
    key: Path
    ca: Path


class Node(_Table):
    """The node itself."""

    ae_title: AeTitle
    host: str = "127.0.0.1"
    port: Port = 11112
    http_host: str = "127.0.0.1"
    http_port: Port = 8042
    queue: Path
    service_url: str = Field(pattern="^https?://")
    api_key_file: Path | None = None
    stow_keys_file: Path | None = None
    target: str = "Pneumonia"
    method: str = "cam"
    picture_side: int = Field(1024, ge=256, le=65_535)
    refused: Literal["nothing", "report"] = "nothing"
    scorers: int = Field(4, ge=1, le=64)
    deadline_seconds: float = Field(90.0, gt=0, le=600)
    attempts: int = Field(8, ge=1, le=100)
    max_associations: int = Field(16, ge=1, le=1000)
    max_pdu: int = Field(1 << 18, ge=4096, le=1 << 24)
    max_bytes: int = Field(64 << 20, ge=1 << 10, le=1 << 30)
    network_seconds: float = Field(30.0, gt=0, le=3600)
    reserve_bytes: int = Field(1 << 30, ge=0)
    max_queued: int = Field(10_000, ge=1)
    keep_seconds: float = Field(3600.0, ge=0)
    remember_days: float = Field(30.0, gt=0)
    drain_seconds: float = Field(20.0, ge=0, le=600)
    tls: Tls | None = None


class Accept(_Table):
    """Who may send: an AE title from an address or a network; `*` for any host."""

    ae_title: AeTitle
    host: str

    @model_validator(mode="after")
    def _host_is_an_address(self) -> Accept:
        if self.host != "*":
            ipaddress.ip_network(self.host, strict=False)
        return self

    def matches_host(self, host: str) -> bool:
        """Whether an IP address is the one that is meant."""
        if self.host == "*":
            return True
        return ipaddress.ip_address(host) in ipaddress.ip_network(self.host, strict=False)


class Destination(_Table):
    """Where results go."""

    name: Name
    kind: DestinationKind
    host: str | None = None
    port: Port | None = None
    ae_title: AeTitle | None = None
    url: str | None = Field(None, pattern="^https?://")
    folder: Path | None = None
    objects: tuple[ResultKind, ...] = ("sr", "sc")
    api_key_file: Path | None = None
    tls: Tls | None = None
    storage_commitment: bool = False
    connections: int = Field(2, ge=1, le=16)
    timeout_seconds: float = Field(30.0, gt=0, le=600)
    give_up_seconds: float = Field(3 * 86_400.0, gt=0)

    @model_validator(mode="after")
    def _has_an_address(self) -> Destination:
        needed = {
            "dimse": ("host", "port", "ae_title"),
            "stow": ("url",),
            "fhir": ("url",),
            "folder": ("folder",),
        }[self.kind]
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a destination of the kind {self.kind} needs {', '.join(missing)}")
        if not self.objects:
            raise ValueError("objects names nothing")
        if self.storage_commitment and self.kind != "dimse":
            raise ValueError("storage_commitment is for the kind dimse")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """The results that it gets, each delivered by itself."""
        return ("fhir",) if self.kind == "fhir" else self.objects


class NodeConfig(_Table):
    """All of `node.toml`."""

    node: Node
    accept: tuple[Accept, ...] = Field(min_length=1)
    destination: tuple[Destination, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> NodeConfig:
        names = [each.name for each in self.destination]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two destinations have the name {twice[0]}")
        return self


def read_config(path: Path) -> NodeConfig:
    """Read and check a configuration; relative paths are taken from its own folder.

    Raises:
        SettingRefused: It cannot be read, or a key is unknown, missing or has a value that is not
            allowed; the message names the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise SettingRefused(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingRefused(f"{path}: {error}") from error
    try:
        config = NodeConfig.model_validate(table)
    except ValidationError as error:
        reasons = [
            f"{'.'.join(map(str, fault['loc'])) or 'node.toml'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False)
        ]
        raise SettingRefused("; ".join(reasons)) from error
    return _rooted(config, path.absolute().parent)


def _rooted(value: Any, folder: Path) -> Any:
    """The same with relative paths taken from a folder."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple):
        return tuple(_rooted(each, folder) for each in value)
    if isinstance(value, _Table):
        changed = {name: _rooted(getattr(value, name), folder) for name in type(value).model_fields}
        return value.model_copy(update=changed)
    return value
