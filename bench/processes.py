"""Starting what is measured and what measures, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import psutil

_ROOT = Path(__file__).parent.parent
START_LIMIT = 120.0
PREDICTION = "cxr-pneumonia"
EXPLAINER = "explainer"
SUPERVISOR = "supervisor"


def environment(**more: str) -> dict[str, str]:
    """Ours, with this project on Python's path and nothing sent to anybody."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path, "BENTOML_DO_NOT_TRACK": "True"} | more


@dataclass(frozen=True)
class Served:
    """A running service.

    Attributes:
        url: Without a path.
        process: The supervisor.
        log: What all its processes write.
        settings: CXR_… of it that are not as outside.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    settings: dict[str, str]

    def find(self, role: str) -> psutil.Process | None:
        """The process of a role; None while there is none."""
        supervisor = psutil.Process(self.process.pid)
        if role == SUPERVISOR:
            return supervisor
        for child in supervisor.children(recursive=True):
            try:
                line = child.cmdline()
                if "--service-name" in line and line[line.index("--service-name") + 1] == role:
                    return child
            except psutil.Error:  # it ended while it was looked at
                continue
        return None

    def memory(self, role: str) -> int:
        """Resident bytes of the process of a role."""
        process = self.find(role)
        return 0 if process is None else int(process.memory_info().rss)

    @property
    def ready(self) -> bool:
        """Whether both parts answer."""
        try:
            with httpx.Client(timeout=1.0) as client:
                up = client.get(f"{self.url}/readyz").status_code == 200
                # Nothing to explain is refused by the explainer itself, whoever relays it.
                return up and client.post(f"{self.url}/gradcam").status_code == 400
        except httpx.HTTPError:
            return False

    def wait_until_ready(self, limit: float = START_LIMIT) -> float:
        """Seconds until both parts answer.

        Raises:
            click.ClickException: They do not within the limit.
        """
        started = time.monotonic()
        while (waited := time.monotonic() - started) < limit:
            if self.process.poll() is not None:
                break
            if self.ready:
                return waited
            time.sleep(0.05)
        last = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        raise click.ClickException(f"the service is not ready; the last of its log:\n{last}")

    def wait_until_complete(self) -> None:
        """Wait until nothing is compiled any more, without which no throughput counts."""
        wait_until_complete(self.log)


def wait_until_complete(log: Path, limit: float = START_LIMIT) -> None:
    """Wait until a service that is ready says that it has compiled its larger batches too.

    Args:
        log: Of the service.
        limit: Seconds to wait.

    Raises:
        click.ClickException: It does not say so.
    """
    end = time.monotonic() + limit
    while "the runtime is complete" not in log.read_text(errors="replace"):
        if time.monotonic() > end:
            raise click.ClickException(f"the service compiles for more than {limit:.0f} s")
        time.sleep(0.05)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    folder: Path,
    settings: dict[str, str],
    service: str | None = None,
    through: Sequence[str] = (),
    port: int | None = None,
) -> Iterator[Served]:
    """Start a service with a BENTOML_HOME of its own; ready when it yields.

    Args:
        folder: For its log, to be made.
        settings: CXR_… of it.
        service: What is served, as `bentoml serve` names it; `cxr serve` where left out.
        through: A command that runs the one that is put behind it, in the same process.
        port: To listen on; a free one where left out.
    """
    folder.mkdir(parents=True)
    log = folder / "serve.log"
    port = port or free_port()
    if service is None:
        command = [sys.executable, "-c", "from service.cli import main; main()", "serve"]
    else:
        command = [sys.executable, "-m", "bentoml", "serve", service]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*through, *command, "--port", str(port)],
            env=environment(BENTOML_HOME=str(folder / "bentoml"), **settings),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    served = Served(f"http://127.0.0.1:{port}", process, log, settings)
    try:
        served.wait_until_ready()
        yield served
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    children = (
        psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    )
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        if child.is_running():
            child.kill()


class Generator:
    """A load generator that runs.

    Args:
        url: With its path.
        images: What it sends.
        **options: Of `python -m bench.load`; True for a flag.
    """

    def __init__(self, url: str, images: Sequence[Path], **options: object) -> None:
        arguments = [
            f"--{name.replace('_', '-')}"
            if value is True
            else f"--{name.replace('_', '-')}={value}"
            for name, value in options.items()
            if value is not None and value is not False
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load", url, *map(str, images), *arguments],
            env=environment(),
            stdout=subprocess.PIPE,
        )

    def result(self) -> Any:
        """Wait for its end and read what it printed.

        Raises:
            click.ClickException: It failed.
        """
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise click.ClickException("the load generator failed; see above")
        return json.loads(output)

    def stop(self) -> None:
        """End it; what it measured is not wanted."""
        self._process.terminate()
        self._process.communicate()


def measure_floor(images: Sequence[Path], seconds: float, settings: dict[str, str]) -> Any:
    """What `python -m bench.floor` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.floor", *map(str, images), f"--seconds={seconds}"],
        env=environment(**settings),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)
