"""Who takes part: how each is started, what it is sent, and which other settings were tried."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click

from bench.wire import Body
from service.network.bundle import Variant, read_manifest
from service.network.runtime.selection import select

OURS = "cxr serve"
FLOAT32, INT8 = "float32", "int8"
RUNTIMES = {FLOAT32: "onnxruntime", INT8: "openvino"}


def quantised(bundle: Path) -> Variant:
    """The 8-bit variant of a bundle that the service takes on this processor.

    Raises:
        click.ClickException: It takes another one here.
    """
    variant = select(read_manifest(bundle)).variant
    if not variant.precision.startswith(INT8):
        raise click.ClickException(
            f"this compares 8-bit networks, and {variant.name} is served on this processor"
        )
    return variant


@dataclass(frozen=True)
class Server:
    """A way to serve a network.

    Attributes:
        name: As the tables have it.
        command: What starts it, given the interpreter with the peers' packages and a port.
        path: Where predictions are.
        body: What a request's body is.
        alternatives: Settings (see `bench.peers.network.knob`) that were tried beside those that
            the peer's file has; `--tune` measures them.
    """

    name: str
    command: Callable[[Path, int], list[str]]
    path: str = "/predict"
    body: Body = "form"
    alternatives: tuple[dict[str, int], ...] = ()


@dataclass(frozen=True)
class Contender:
    """A server with a runtime.

    Attributes:
        server: The way to serve.
        precision: FLOAT32, or INT8 for the 8-bit network of this processor.
        knobs: Settings that are not as the peer's file has them.
    """

    server: Server
    precision: str
    knobs: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.server.name}, {self.precision}"

    @property
    def ours(self) -> bool:
        return self.server.name == OURS

    def environment(self, bundle: Path, port: int) -> dict[str, str]:
        """Variables that it is started with."""
        if self.ours:
            return {"CXR_BUNDLE": str(bundle)}
        network = quantised(bundle).files[0] if self.precision == INT8 else "network.onnx"
        own = {"RUNTIME": RUNTIMES[self.precision], "NETWORK": str(bundle / network)}
        own["PORT"] = str(port)
        own |= {name: str(value) for name, value in self.knobs.items()}
        # uvicorn's own variable; the peers that take PEER_WORKERS do not look at it.
        workers = {"WEB_CONCURRENCY": str(self.knobs.get("WORKERS", 1))}
        return workers | {f"PEER_{name}": value for name, value in own.items()}


def _cxr(_: Path, port: int) -> list[str]:
    start = "from service.cli import main; main()"
    return [sys.executable, "-c", start, "serve", "--port", str(port)]


def _fastapi(python: Path, port: int) -> list[str]:
    options = ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    return [str(python), "-m", "uvicorn", "bench.peers.fastapi_peer:app", *options]


def _litserve(python: Path, port: int) -> list[str]:
    return [str(python), "-m", "bench.peers.litserve_peer"]


def _mosec(python: Path, port: int) -> list[str]:
    options = ["--port", str(port), "--address", "127.0.0.1", "--timeout", "60000"]
    return [str(python), "-m", "bench.peers.mosec_peer", *options, "--log-level", "error"]


def _bentoml(python: Path, port: int) -> list[str]:
    options = ["--port", str(port), "--host", "127.0.0.1"]
    return [str(python), "-m", "bentoml", "serve", "bench.peers.bentoml_peer:Peer", *options]


# Workers share the cores: so many processes of so many threads.
_SPLIT = {"WORKERS": 2, "THREADS": 1}
_WHOLE = {"WORKERS": 1, "THREADS": 2}

SERVERS = (
    Server(OURS, _cxr, body="raw"),
    Server(
        "FastAPI",
        _fastapi,
        alternatives=(
            {"STREAMS": 1},
            {"STREAMS": 1, "POOL": 1},
            {"STREAMS": 1, "POOL": 2},
            {"STREAMS": 1, "POOL": 4},
            {"POOL": 3},
            {"WORKERS": 2, "THREADS": 1, "STREAMS": 1},
            {"WORKERS": 2, "THREADS": 1, "STREAMS": 1, "POOL": 1},
            {"SPIN": 1},
        ),
    ),
    Server(
        "LitServe",
        _litserve,
        body="json",
        alternatives=(
            {"WAIT_MS": 0},
            {"WAIT_MS": 20},
            {"FAST_QUEUE": 1},
            _SPLIT,
            _SPLIT | {"WAIT_MS": 20},
            _SPLIT | {"FAST_QUEUE": 1},
        ),
    ),
    Server(
        "mosec",
        _mosec,
        path="/inference",
        body="raw",
        alternatives=(
            {"WAIT_MS": 0},
            {"WAIT_MS": 20},
            {"DECODERS": 1},
            _WHOLE,
            _WHOLE | {"DECODERS": 1},
            _WHOLE | {"DECODERS": 2},
        ),
    ),
    Server(
        "BentoML",
        _bentoml,
        alternatives=({"POOL": 2}, {"BATCH": 32}, _SPLIT),
    ),
)

CONTENDERS = (
    Contender(SERVERS[0], INT8),
    *(Contender(server, precision) for precision in (INT8, FLOAT32) for server in SERVERS[1:]),
)
