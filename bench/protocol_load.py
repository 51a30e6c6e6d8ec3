"""gRPC clients with a deadline, in a process of their own, in a closed loop.

python -m bench.protocol_load 127.0.0.1:8001 image.png --clients 32 --seconds 8
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from pathlib import Path

import click
import grpc
import uvloop

from bench.protocol_requests import INFER, grpc_request

_PAUSE = 0.05
"""Seconds that a client waits after an answer that is none."""


async def measure(
    address: str, images: list[bytes], model: str, clients: int, seconds: float, timeout: float
) -> dict[str, float]:
    """Keep so many requests under way for so long, after a second of warming up.

    Returns:
        Answers a second, the longest time until an answer or a status in milliseconds, and how
        many statuses were not of success.
    """
    channel = grpc.aio.insecure_channel(address)
    call = channel.unary_unary(INFER)
    requests = [grpc_request(model, image) for image in images]
    loop = asyncio.get_running_loop()
    begin = loop.time() + 1.0
    end = begin + seconds
    answered = failed = 0
    longest = 0.0

    async def client() -> None:
        nonlocal answered, failed, longest
        for request in itertools.cycle(requests):
            if loop.time() >= end:
                return
            began = time.perf_counter()
            try:
                await call(request, timeout=timeout)
                good = True
            except grpc.aio.AioRpcError:
                good = False
            took = time.perf_counter() - began
            if not good:
                await asyncio.sleep(_PAUSE)
            if begin < loop.time() <= end:
                longest = max(longest, took)
                answered += good
                failed += not good

    await asyncio.gather(*(client() for _ in range(clients)))
    await channel.close()
    return {"rate": answered / seconds, "longest": longest * 1e3, "failed": failed}


@click.command()
@click.argument("address")
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", default="cxr", show_default=True)
@click.option("--clients", default=32, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=8.0, show_default=True)
@click.option("--timeout", default=30.0, show_default=True, help="Of a request, in seconds.")
def main(
    address: str,
    images: tuple[Path, ...],
    model: str,
    clients: int,
    seconds: float,
    timeout: float,
) -> None:
    """Load ADDRESS with IMAGES and print what happened as JSON."""
    data = [image.read_bytes() for image in images]
    found = uvloop.run(measure(address, data, model, clients, seconds, timeout))
    click.echo(json.dumps(found))


if __name__ == "__main__":
    main()
