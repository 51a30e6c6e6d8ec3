"""A served process, polled on its port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

START_LIMIT = 90.0


@dataclass(frozen=True)
class Served:
    """A running service.

    Attributes:
        url: Where it answers.
        process: The supervising process.
        log: What it and its workers write on standard error.
        output: What it writes on standard output: its banner.
    """

    url: str
    process: subprocess.Popen
    log: Path
    output: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(
    bundle: Path, folder: Path, key: str | None = None, **environment: str
) -> Iterator[Served]:
    """Start `cxr serve` on a free port with a BENTOML_HOME of its own; ready when it yields.

    `key` is an API key that it accepts, where it wants one.
    """
    port = free_port()
    log, output = folder / "serve.log", folder / "serve.out"
    settings = {"BENTOML_HOME": str(folder / "bentoml"), "CXR_BUNDLE": str(bundle), **environment}
    cxr = Path(sys.executable).with_name("cxr")
    with log.open("wb") as error_stream, output.open("wb") as output_stream:
        process = subprocess.Popen(
            [cxr, "serve", "--port", str(port)],
            env=os.environ | settings,
            stdout=output_stream,
            stderr=error_stream,
            cwd=folder,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url, process, log, {} if key is None else {"x-api-key": key})
        yield Served(url, process, log, output)
    finally:
        children = (
            psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        )
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:
            if child.is_running():
                child.kill()


def _wait_until_ready(
    url: str, process: subprocess.Popen, log: Path, headers: dict[str, str]
) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the service ended:\n{log.read_text()}")
        try:
            ready = httpx.get(f"{url}/readyz").status_code == 200
            # The explainer starts beside it; a wrong method is answered by whoever is up.
            explains = httpx.post(f"{url}/gradcam", headers=headers).status_code == 400
        except httpx.TransportError:
            ready = explains = False
        if ready and explains:
            return
        time.sleep(0.1)
    raise AssertionError(f"not ready after {START_LIMIT} s:\n{log.read_text()}")
