"""Starting a contender in a process group of its own, waiting for it, weighing it, ending it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from bench.peers.contenders import Contender
from bench.processes import environment, free_port, wait_until_complete
from bench.wire import Connection, NoAnswer, Target, request

START_LIMIT = 120.0
EXPLAINER = "explainer"


@dataclass(frozen=True)
class Running:
    """A contender that answers.

    Attributes:
        url: Where predictions are.
        process: The first of its processes.
        start_seconds: From its start until its first right answer.
    """

    url: str
    process: psutil.Process
    start_seconds: float

    def memory(self) -> dict[str, float]:
        """MiB of all its processes, pages that they share counted once (PSS).

        Returns:
            "all", and "explainer": the part of it that draws heat maps, which only ours has.
        """
        found = {"all": 0.0, "explainer": 0.0}
        for one in (self.process, *self.process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                size = one.memory_full_info().pss / (1 << 20)
                found["all"] += size
                if EXPLAINER in one.cmdline():
                    found["explainer"] += size
        return found


@contextmanager
def running(
    contender: Contender, python: Path, bundle: Path, image: Path, folder: Path
) -> Iterator[Running]:
    """Start a contender on a free port; it has answered once when this yields.

    Args:
        contender: Which.
        python: Interpreter with the peers' packages.
        bundle: The model.
        image: What it is asked first.
        folder: For its log and what else it writes.

    Raises:
        click.ClickException: It ended or did not answer within START_LIMIT.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    log = folder / "log"
    variables = contender.environment(bundle, port) | {"BENTOML_HOME": str(folder / "bentoml")}
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            contender.server.command(python, port),
            env=environment(**variables),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    target = Target("127.0.0.1", port, contender.server.path)
    head, body = request(contender.server.body, target, image)
    try:
        if not asyncio.run(_answers(target, head + b"\r\n" + body, process)):
            last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise click.ClickException(f"{contender.name} does not answer:\n{last}")
        took = time.monotonic() - started
        if contender.ours:
            wait_until_complete(log)
        url = f"http://127.0.0.1:{port}{contender.server.path}"
        yield Running(url, psutil.Process(process.pid), took)
    finally:
        _end(process)


async def _answers(target: Target, whole: bytes, process: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end and process.poll() is None:
        with suppress(NoAnswer):
            connection = await Connection.to(target, 1.0)
            try:
                status, _ = await connection.ask(whole, 10.0)
                if status == 200:
                    return True
            finally:
                connection.close()
        await asyncio.sleep(0.05)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    family = []
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for one in family:  # some start sessions of their own
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
