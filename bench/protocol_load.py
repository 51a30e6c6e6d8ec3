"""Clients of the Open Inference Protocol in a process of their own, in a closed loop.

    python -m bench.protocol_load grpc 127.0.0.1:8001 image.png --clients 32 --seconds 8

Requests are built once and answers are not read, so that what is measured on shared cores is the
service; the status of every answer is looked at.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import statistics
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
import grpc
import uvloop

from bench.wire import Connection, Target, form_request
from service.inference_protocol.grpc_messages import SERVICE, build

WAYS = ("predict", "json", "binary", "grpc")
"""The service's own form at /predict, and the protocol's three ways."""

_PAUSE = 0.05
"""Seconds that a client waits after an answer that is none."""

Ask = Callable[[float], Awaitable[bool]]


def _raw(image: bytes) -> bytes:
    return struct.pack("<I", len(image)) + image


def _input(**more: object) -> dict[str, object]:
    return {"name": "image", "datatype": "BYTES", "shape": [1], **more}


def http_request(way: str, target: Target, image: bytes) -> bytes:
    """A whole request over HTTP."""
    if way == "predict":
        head, body = form_request(target, image)
        return head + b"\r\n" + body
    if way == "json":
        data = [base64.b64encode(image).decode()]
        asked = {"inputs": [_input(parameters={"content_type": "base64"}, data=data)]}
        body = json.dumps(asked).encode()
        lines = ("Content-Type: application/json",)
    else:
        raw = _raw(image)
        asked = {
            "inputs": [_input(parameters={"binary_data_size": len(raw)})],
            "parameters": {"binary_data_output": True},
        }
        front = json.dumps(asked).encode()
        body = front + raw
        lines = (
            "Content-Type: application/octet-stream",
            f"Inference-Header-Content-Length: {len(front)}",
        )
    return target.head(*lines, f"Content-Length: {len(body)}") + b"\r\n" + body


def grpc_request(model: str, image: bytes) -> bytes:
    """A ModelInferRequest."""
    tensor = build("ModelInferRequest.InferInputTensor", **_input())
    request = build(
        "ModelInferRequest", model_name=model, inputs=[tensor], raw_input_contents=[_raw(image)]
    )
    return bytes(request.SerializeToString())


async def _client_http(target: Target, requests: list[bytes]) -> tuple[Ask, Callable[[], None]]:
    connection = await Connection.to(target)
    turn = itertools.cycle(requests)

    async def ask(timeout: float) -> bool:
        status, _ = await connection.ask(next(turn), timeout)
        return status == 200

    return ask, connection.close


def _client_grpc(channel: grpc.aio.Channel, requests: list[bytes]) -> Ask:
    call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
    turn = itertools.cycle(requests)

    async def ask(timeout: float) -> bool:
        try:
            await call(next(turn), timeout=timeout)
        except grpc.aio.AioRpcError:
            return False
        return True

    return ask


async def measure(
    way: str,
    address: str,
    images: list[bytes],
    model: str,
    clients: int,
    seconds: float,
    timeout: float,
) -> dict[str, float]:
    """Keep so many requests under way for so long, after a second of warming up.

    Returns:
        Answers a second, the median and the 99th percentile of their times in milliseconds, the
        longest of any, how many were not of success, and processor seconds of this process.
    """
    channel = grpc.aio.insecure_channel(address)
    closes: list[Callable[[], None]] = []
    asks: list[Ask] = []
    path = "/predict" if way == "predict" else f"/v2/models/{model}/infer"
    for _ in range(clients):
        if way == "grpc":
            asks.append(_client_grpc(channel, [grpc_request(model, image) for image in images]))
            continue
        host, _, port = address.rpartition(":")
        target = Target(host, int(port), path)
        ask, close = await _client_http(target, [http_request(way, target, i) for i in images])
        asks.append(ask)
        closes.append(close)
    loop = asyncio.get_running_loop()
    begin = loop.time() + 1.0
    end = begin + seconds
    times: list[float] = []
    failed = 0
    longest = 0.0

    async def client(ask: Ask) -> None:
        nonlocal failed, longest
        while loop.time() < end:
            began = time.perf_counter()
            good = await ask(timeout)
            took = time.perf_counter() - began
            if not good:
                await asyncio.sleep(_PAUSE)
            if begin < loop.time() <= end:
                longest = max(longest, took)
                failed += not good
                if good:
                    times.append(took * 1e3)

    used = time.process_time()
    await asyncio.gather(*(client(ask) for ask in asks))
    used = time.process_time() - used
    for close in closes:
        close()
    await channel.close()
    times.sort()
    return {
        "rate": len(times) / seconds,
        "p50": statistics.median(times) if times else float("nan"),
        "p99": times[int(len(times) * 0.99)] if times else float("nan"),
        "longest": longest * 1e3,
        "failed": failed,
        "client_cpu": used,
    }


@click.command()
@click.argument("way", type=click.Choice(WAYS))
@click.argument("address")
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", default="cxr", show_default=True)
@click.option("--clients", default=32, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=8.0, show_default=True)
@click.option("--timeout", default=30.0, show_default=True, help="Of a request, in seconds.")
def main(
    way: str,
    address: str,
    images: tuple[Path, ...],
    model: str,
    clients: int,
    seconds: float,
    timeout: float,
) -> None:
    """Load ADDRESS with IMAGES and print what happened as JSON."""
    data = [image.read_bytes() for image in images]
    found = uvloop.run(measure(way, address, data, model, clients, seconds, timeout))
    click.echo(json.dumps(found))


if __name__ == "__main__":
    main()
