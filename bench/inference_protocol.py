"""The Open Inference Protocol beside /predict and beside MLServer; of a checkout only.

    python -m bench.inference_protocol             # needs `make build/mlserver/ready` for the peer

The load is h2load's (Debian: nghttp2-client).

Windows of a few seconds are interleaved, so that a machine that is slower for a while is slower for
all; ratios are of windows of one round, and what is told is their median.
"""

from __future__ import annotations

import json
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench.drawn import draw
from bench.machine import machine
from bench.peers.contenders import quantised
from bench.processes import PREDICTION, Served, environment, free_port, serving
from bench.protocol_requests import INFER, REST_PATH, grpc_request, rest_request
from bench.wire import form_body, form_type

MLSERVER = Path("build/mlserver/bin/mlserver")
BATCHING = {"alone": (0, 0.0), "in batches": (8, 0.005)}
"""Settings of MLServer that are tried: images of a batch, and seconds to wait for company."""

Window = dict[str, float]


@dataclass(frozen=True)
class Contender:
    """A way to be asked.

    Attributes:
        name: As the table has it.
        url: Where its requests go.
        headers: Of a request.
        body: Of a request.
        http1: Whether it is asked by HTTP/1.1, and not by HTTP/2.
        process: Whose processor time is counted.
    """

    name: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    http1: bool
    process: psutil.Process

    def window(self, clients: int, seconds: float) -> Window:
        """Load it for so long, after a second of warming up, with so many requests under way.

        h2load speaks HTTP/1.1 and HTTP/2 in the same few microseconds of processor time, so what
        is compared on shared cores is servers and not their clients. Whether a call of gRPC
        succeeded stands behind its answer, where h2load does not look: `main` counts them by the
        service's own metric.
        """
        with tempfile.TemporaryDirectory(prefix="cxr-bench-") as folder:
            body, log = Path(folder) / "body", Path(folder) / "log"
            body.write_bytes(self.body)
            command = ["h2load", "-t1", f"-c{clients}", "-m1", f"-D{seconds:g}"]
            command += ["--warm-up-time=1", f"--log-file={log}", f"--data={body}"]
            command += ["--h1"] if self.http1 else []
            command += [f"--header={name}: {value}" for name, value in self.headers.items()]
            used = sum(self.process.cpu_times()[:2])
            subprocess.run([*command, self.url], stdout=subprocess.DEVNULL, check=True)
            used = sum(self.process.cpu_times()[:2]) - used
            _, status, took = np.loadtxt(log, np.int64, ndmin=2).T
        if not len(took) or (status != 200).any():
            raise click.ClickException(f"{self.name}: an answer was none of success")
        return {
            "rate": len(took) / seconds,
            "p50": float(np.median(took)) / 1e3,
            # The second of warming up is in the processor time, and not in the rate.
            "cpu": used / (len(took) * (1 + 1 / seconds)) * 1e3,
        }


def grpc_contender(name: str, address: str, image: bytes, process: psutil.Process) -> Contender:
    """One that is asked over gRPC, in the clear."""
    message = grpc_request("cxr", image)
    headers = {"content-type": "application/grpc", "te": "trailers"}
    # Not compressed, and as long as this (gRPC over HTTP2: Length-Prefixed-Message).
    body = struct.pack(">BI", 0, len(message)) + message
    return Contender(name, f"http://{address}{INFER}", headers, body, False, process)


@contextmanager
def mlserver(
    folder: Path, bundle: Path, image: bytes, images: int, seconds: float
) -> Iterator[Contender]:
    """Start MLServer with the same int8 network, asked over gRPC, its fastest way."""
    folder.mkdir()
    http, grpc, metrics = free_port(), free_port(), free_port()
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    (folder / "settings.json").write_text(
        json.dumps({**ports, "host": "127.0.0.1", "parallel_workers": 0, "debug": False})
    )
    network = bundle / quantised(bundle).files[0]
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
            env=environment(PEER_NETWORK=str(network), PEER_RUNTIME="openvino"),
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(f"http://127.0.0.1:{http}/v2/models/cxr/ready", folder / "log")
        name = f"MLServer, gRPC, {folder.name}"
        yield grpc_contender(name, f"127.0.0.1:{grpc}", image, psutil.Process(process.pid))
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


def compare(contenders: Sequence[Contender], clients: int, seconds: float, times: int) -> None:
    """Print each contender beside the first, from windows that are interleaved."""
    rounds: list[list[Window]] = []
    for _ in range(times):
        rounds.append([one.window(clients, seconds) for one in contenders])
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


def deadline(address: str, image: Path, clients: int, seconds: float) -> None:
    """Print what a client with a deadline of a second gets beside three times the load."""
    command = [sys.executable, "-m", "bench.protocol_load", address, str(image)]
    flood = subprocess.Popen(
        [*command, f"--clients={clients}", f"--seconds={seconds + 2}"],
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    alone = [*command, "--clients=1", f"--seconds={seconds}", "--timeout=1"]
    found = json.loads(subprocess.check_output(alone, env=environment()))
    flood.wait()
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


def _contenders(served: Served, grpc: str, image: bytes) -> list[Contender]:
    process = served.find(PREDICTION)
    assert process is not None
    name, _, value = form_type().partition(": ")
    headers, body = rest_request(True, image)
    url = f"{served.url}{REST_PATH}"
    return [
        Contender(
            "/predict, a form",
            f"{served.url}/predict",
            {name: value},
            form_body(image),
            True,
            process,
        ),
        Contender("REST, binary", url, headers, body, True, process),
        grpc_contender("gRPC", grpc, image, process),
    ]


def _failed(url: str) -> int:
    """Images that were refused or failed, by the service's own count; callers who left are none."""
    metrics = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    samples = (sample for family in metrics for sample in family.samples)
    return sum(
        int(sample.value)
        for sample in samples
        if sample.name == "cxr_protocol_images_total"
        and sample.labels["outcome"] not in ("ok", "gone")
    )


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
        drawn = draw(folder)["224 px"][0]
        image = drawn.read_bytes()
        port = free_port()
        settings: dict[str, Any] = {"CXR_BUNDLE": str(where), "CXR_GRPC_PORT": str(port)}
        served = stack.enter_context(serving(folder / "ours", settings))
        served.wait_until_complete()
        contenders = _contenders(served, f"127.0.0.1:{port}", image)
        for name, (most, wait) in BATCHING.items() if MLSERVER.exists() else ():
            peer = mlserver(folder / name, where, image, most, wait)
            contenders.append(stack.enter_context(peer))
        compare(contenders, 32, seconds, rounds)
        compare(contenders[:3], 1, seconds, rounds)
        click.echo(f"\n{_failed(served.url)} images of these requests were refused or failed.")
        deadline(f"127.0.0.1:{port}", drawn, 3 * 144, 3 * seconds)
    if starts:
        with tempfile.TemporaryDirectory(prefix="cxr-bench-") as temporary:
            cost(Path(temporary), str(where), starts)


if __name__ == "__main__":
    main()
