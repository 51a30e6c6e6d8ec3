"""The Open Inference Protocol beside /predict and beside MLServer; of a checkout only.

    python -m bench.inference_protocol             # needs `make build/mlserver/ready` for the peer

Windows of a few seconds are interleaved, so that a machine that is slower for a while is slower for
all; ratios are of windows of one round, and what is told is their median.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import psutil

from bench.drawn import draw
from bench.machine import machine
from bench.processes import PREDICTION, Served, environment, free_port, serving

MLSERVER = Path("build/mlserver/bin/mlserver")
BATCHING = {"alone": (0, 0.0), "in batches": (8, 0.005)}
"""Settings of MLServer that are tried: images of a batch, and seconds to wait for company."""

Window = dict[str, float]


@dataclass(frozen=True)
class Contender:
    """A way to be asked.

    Attributes:
        name: As the table has it.
        way: Of `bench.protocol_load`.
        address: Host and port.
        process: Whose processor time is counted; None for none.
    """

    name: str
    way: str
    address: str
    process: psutil.Process | None = None

    def window(self, images: Sequence[Path], clients: int, seconds: float, **more: float) -> Window:
        """Load it for so long."""
        before = self._used()
        found = load(self.way, self.address, images, clients=clients, seconds=seconds, **more)
        # The second of warming up is in the processor time, and not in the rate.
        answered = found["rate"] * (seconds + 1.0)
        found["cpu"] = (self._used() - before) / answered * 1e3 if answered else float("nan")
        return found

    def _used(self) -> float:
        if self.process is None:
            return float("nan")
        return sum(self.process.cpu_times()[:2])


def load(way: str, address: str, images: Sequence[Path], **options: float) -> Window:
    """What `python -m bench.protocol_load` prints."""
    command = [sys.executable, "-m", "bench.protocol_load", way, address, *map(str, images)]
    command += [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, check=True)
    found: Window = json.loads(done.stdout)
    return found


@contextmanager
def mlserver(folder: Path, bundle: Path, images: int, seconds: float) -> Iterator[Contender]:
    """Start MLServer with the same int8 network, asked over gRPC, its fastest way."""
    folder.mkdir()
    http, grpc, metrics = free_port(), free_port(), free_port()
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    (folder / "settings.json").write_text(
        json.dumps({**ports, "host": "127.0.0.1", "parallel_workers": 0, "debug": False})
    )
    model = {
        "name": "cxr",
        "implementation": "bench.peers.mlserver_peer.Peer",
        "max_batch_size": images,
        "max_batch_time": seconds,
    }
    (folder / "model-settings.json").write_text(json.dumps(model))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [MLSERVER.absolute(), "start", folder],
            env=environment(PEER_BUNDLE=str(bundle), PEER_RUNTIME="openvino"),
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(f"http://127.0.0.1:{http}/v2/models/cxr/ready", folder / "log")
        name = f"MLServer, gRPC, {folder.name}"
        yield Contender(name, "grpc", f"127.0.0.1:{grpc}", psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(20)


def _wait(url: str, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise click.ClickException(log.read_text()[-2000:])


def compare(
    contenders: Sequence[Contender],
    images: Sequence[Path],
    clients: int,
    seconds: float,
    times: int,
) -> None:
    """Print each contender beside the first, from windows that are interleaved."""
    rounds: list[list[Window]] = []
    for _ in range(times):
        rounds.append([one.window(images, clients, seconds) for one in contenders])
    click.echo(f"\n{clients} clients, {times} rounds of {seconds:g} s:")
    click.echo("contender | /s | of the first | p50, ms | of the first | CPU, ms an answer")
    for number, contender in enumerate(contenders):
        own = [one[number] for one in rounds]
        rate = statistics.median(one[number]["rate"] / one[0]["rate"] for one in rounds)
        p50 = statistics.median(one[number]["p50"] / one[0]["p50"] for one in rounds)
        click.echo(
            f"{contender.name} | {_median(own, 'rate'):.1f} | {rate:.3f} | "
            f"{_median(own, 'p50'):.2f} | {p50:.3f} | {_median(own, 'cpu'):.2f}"
        )


def _median(windows: Sequence[Window], name: str) -> float:
    return statistics.median(window[name] for window in windows)


def deadline(address: str, images: Sequence[Path], clients: int, seconds: float) -> None:
    """Print what a client with a deadline of a second gets beside three times the load."""
    command = [sys.executable, "-m", "bench.protocol_load", "grpc", address, *map(str, images)]
    flood = subprocess.Popen(
        [*command, f"--clients={clients}", f"--seconds={seconds + 2}"],
        env=environment(),
        stdout=subprocess.PIPE,
    )
    found = load("grpc", address, images, clients=1, seconds=seconds, timeout=1.0)
    flood.communicate()
    click.echo(
        f"\nA deadline of 1 s beside {clients} clients: {found['rate']:.1f} answers/s, "
        f"{found['failed']:.0f} statuses, the longest wait {found['longest']:.0f} ms"
    )


def cost(folder: Path, bundle: str, times: int) -> None:
    """Print what gRPC adds to the start and to the memory of the predicting process."""
    found: dict[bool, list[tuple[float, float, float]]] = {False: [], True: []}
    for number in range(times):
        for on in (False, True):
            settings = {"CXR_BUNDLE": bundle}
            if on:
                settings["CXR_GRPC_PORT"] = str(free_port())
            began = time.monotonic()
            with serving(folder / f"{number}-{on}", settings) as served:
                took = time.monotonic() - began
                process = served.find(PREDICTION)
                assert process is not None
                used = sum(process.cpu_times()[:2])
                found[on].append((took, used, process.memory_full_info().uss / (1 << 20)))
    figures = ("start", "s"), ("processor until then", "s"), ("memory", "MiB")
    for place, (name, unit) in enumerate(figures):
        without, with_grpc = (
            statistics.median(one[place] for one in found[on]) for on in (False, True)
        )
        click.echo(
            f"{name}: {without:.2f} {unit} without gRPC, {with_grpc:.2f} with, "
            f"{with_grpc - without:+.2f}"
        )


def _contenders(served: Served, grpc: str) -> list[Contender]:
    http = served.url.removeprefix("http://")
    process = served.find(PREDICTION)
    return [
        Contender("/predict, a form", "predict", http, process),
        Contender("REST, binary", "binary", http, process),
        Contender("gRPC", "grpc", grpc, process),
    ]


@click.command()
@click.option("--bundle", default="models/demo", show_default=True, metavar="DIR")
@click.option("--seconds", default=4.0, show_default=True, help="Of a window.")
@click.option("--rounds", default=6, show_default=True, type=click.IntRange(1))
@click.option("--starts", default=3, show_default=True, type=click.IntRange(0))
def main(bundle: str, seconds: float, rounds: int, starts: int) -> None:
    """Measure REST and gRPC beside /predict and MLServer, a deadline under load, and the cost."""
    click.echo(json.dumps(machine()))
    where = Path(bundle).resolve()
    with tempfile.TemporaryDirectory(prefix="cxr-bench-") as temporary, ExitStack() as stack:
        folder = Path(temporary)
        images = draw(folder)["224 px"]
        port = free_port()
        settings: dict[str, Any] = {"CXR_BUNDLE": str(where), "CXR_GRPC_PORT": str(port)}
        served = stack.enter_context(serving(folder / "ours", settings))
        contenders = _contenders(served, f"127.0.0.1:{port}")
        for name, (most, wait) in BATCHING.items() if MLSERVER.exists() else ():
            peer = mlserver(folder / name, where, most, wait)
            contenders.append(stack.enter_context(peer))
        compare(contenders, images, 32, seconds, rounds)
        compare(contenders[:3], images, 1, seconds, rounds)
        deadline(f"127.0.0.1:{port}", images, 3 * 144, 3 * seconds)
    if starts:
        with tempfile.TemporaryDirectory(prefix="cxr-bench-") as temporary:
            cost(Path(temporary), str(where), starts)


if __name__ == "__main__":
    main()
