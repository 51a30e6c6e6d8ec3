"""A load generator in a process of its own: `python -m bench.load --help`.

Closed loop: so many clients, each of which sends its next request when it has its answer. Open
loop: requests arrive at random moments at a given mean rate (a Poisson process), whatever the
service does; latency counts from the moment at which a request was due, so that a service that
stalls cannot hide behind a generator that waits for it (coordinated omission).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import click
import uvloop

from bench.compare import Expected, Probabilities
from bench.poison import Poisoner
from bench.tally import Tally
from bench.wire import Body, Connection, NoAnswer, Target, request

_PAUSE = 0.05
"""Seconds that a client waits after a refused connection."""


@dataclass
class Load:
    """Everything that one run sends.

    Attributes:
        target: Where to.
        images: Files, sent in turn.
        expected: The right answers, one an image, or None.
        timeout: Seconds after which an answer counts as missing.
        tag: Starts the identifier of every request, so that it can be found in the service's log.
        poison: What else is sent beside the good requests.
        texts: Fields of the form beside the image.
        body: How an image is sent.
    """

    target: Target
    images: list[Path]
    expected: list[Expected] | None
    timeout: float
    tag: str
    poison: Poisoner | None = None
    texts: tuple[tuple[str, str], ...] = ()
    body: Body = "form"
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        built = [request(self.body, self.target, image, self.texts) for image in self.images]
        self._requests = itertools.cycle(enumerate(built))
        self._numbers = itertools.count()
        self._idle: list[Connection] = []

    async def closed(
        self, clients: int, seconds: float | None, requests: int | None, settle: float
    ) -> None:
        """Keep `clients` requests under way until the time or the number is reached.

        Throughput leaves out the first `settle` seconds, in which the clients start as one.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + settle + seconds if seconds is not None else float("inf")
        left = itertools.count() if requests is None else iter(range(requests))

        async def client() -> None:
            while loop.time() < end and next(left, None) is not None:
                if await self._exchange(time.monotonic()) == "refused":
                    await asyncio.sleep(_PAUSE)

        self.tally.begin()
        if seconds is not None:
            loop.call_later(settle, self.tally.begin)
            loop.call_at(end, self.tally.end)
        await asyncio.gather(*(client() for _ in range(clients)))
        self.tally.end()
        await self._finish()

    async def open(self, rate: float, seconds: float, seed: int) -> None:
        """Send at a mean rate of `rate` a second."""
        self.tally.begin()
        under_way: set[asyncio.Task[str]] = set()
        async for due in _arrivals(rate, seconds, seed):
            task = asyncio.ensure_future(self._exchange(due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        self.tally.end()
        await asyncio.gather(*under_way)
        await self._finish()

    async def _exchange(self, due: float) -> str:
        """Send one request and note what became of it."""
        which, (head, body) = next(self._requests)
        name = f"{self.tag}-{next(self._numbers)}"
        whole = b"%bX-Request-ID: %b\r\n\r\n%b" % (head, name.encode(), body)
        if self.poison is not None:
            self.poison.perhaps()
        try:
            connection = await self._connection()
            status, answer = await connection.ask(whole, self.timeout)
        except NoAnswer as error:
            self.tally.failed(error.kind, time.monotonic() - due, name)
            return error.kind
        took = time.monotonic() - due
        if connection.open:
            self._idle.append(connection)
        difference = 0.0
        if self.expected is not None and status == 200:
            difference = self.expected[which].difference(answer)
        self.tally.answered(status, took, difference, name)
        return "answered"

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return await Connection.to(self.target)

    async def _finish(self) -> None:
        for connection in self._idle:
            connection.close()
        if self.poison is not None:
            await self.poison.finish()


async def _arrivals(rate: float, seconds: float, seed: int) -> AsyncIterator[float]:
    """The moments of a Poisson process, each as it comes."""
    draw = random.Random(seed)
    started = due = time.monotonic()
    while True:
        due += draw.expovariate(rate)
        if due - started > seconds:
            return
        wait = due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        yield due


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url")
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--clients", type=click.IntRange(1), default=32, show_default=True)
@click.option("--seconds", type=float, help="How long.")
@click.option("--requests", type=int, help="How many, all clients together (closed loop).")
@click.option("--settle", default=2.0, show_default=True, help="Seconds more, before --seconds.")
@click.option("--rate", type=float, help="Open loop: mean arrivals a second.")
@click.option("--seed", default=1, show_default=True, help="Of the arrivals and the poison.")
@click.option("--expected", type=click.Path(exists=True, path_type=Path), help="From --learn.")
@click.option("--tolerance", default=0.01, show_default=True, help="Of a score that is compared.")
@click.option("--learn", is_flag=True, help="Ask for each image once; print what was answered.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds to wait for an answer.")
@click.option("--poison", default=0.0, help="Share of bad requests to send beside the good ones.")
@click.option("--max-bytes", default=64 << 20, help="The service's limit, for oversized ones.")
@click.option("--field", "fields", multiple=True, metavar="NAME=VALUE", help="To send beside it.")
@click.option("--key", envvar="CXR_KEY", help="API key to send.")
@click.option("--tag", default="bench", show_default=True, help="Starts each X-Request-ID.")
@click.option(
    "--body",
    type=click.Choice(get_args(Body)),
    default="form",
    show_default=True,
    help="How an image is sent.",
)
@click.option("--probabilities", is_flag=True, help="Compare probabilities and nothing else.")
@click.option("--losses", is_flag=True, help="Name the requests that got no answer.")
def main(
    url: str,
    images: tuple[Path, ...],
    clients: int,
    seconds: float | None,
    requests: int | None,
    settle: float,
    rate: float | None,
    seed: int,
    expected: Path | None,
    tolerance: float,
    learn: bool,
    timeout: float,
    poison: float,
    max_bytes: int,
    fields: tuple[str, ...],
    key: str | None,
    tag: str,
    body: Body,
    probabilities: bool,
    losses: bool,
) -> None:
    """Load URL with IMAGES as multipart forms and print what happened as JSON.

    \b
      python -m bench.load http://127.0.0.1:3000/predict a.jpg b.jpg --clients 32 --seconds 10
      python -m bench.load http://127.0.0.1:3000/predict a.jpg --rate 200 --seconds 60
      python -m bench.load URL a.jpg b.jpg --learn > right.json
      python -m bench.load URL a.jpg b.jpg --requests 20000 --clients 64 --expected right.json

    An answer is wrong if it is for other pixels, decides any finding otherwise, or has a score
    further from the expected one than the tolerance. Throughput counts answers of status 200.
    """
    target = Target.parse(url, key)
    if learn:
        click.echo(json.dumps(uvloop.run(_learn(target, list(images), timeout, body))))
        return
    if seconds is None and (requests is None or rate is not None):
        raise click.UsageError("give --seconds, or --requests without --rate")
    known = None
    if expected is not None:
        kind = Probabilities if probabilities else Expected
        known = [kind(answer, tolerance) for answer in json.loads(expected.read_text())]
        if len(known) != len(images):
            raise click.UsageError("--expected is of another number of images")
    poisoner = Poisoner(target, images[0].read_bytes(), poison, seed, max_bytes) if poison else None
    texts = tuple((name, value) for name, _, value in (field.partition("=") for field in fields))
    load = Load(target, list(images), known, timeout, tag, poisoner, texts, body)
    started = time.process_time()
    if rate is None:
        uvloop.run(load.closed(clients, seconds, requests, settle))
    else:
        uvloop.run(load.open(rate, seconds or 0.0, seed))
    report = load.tally.report(time.process_time() - started, losses=losses)
    if poisoner is not None:
        report["poison"] = poisoner.report()
    click.echo(json.dumps(report))


async def _learn(
    target: Target, images: list[Path], timeout: float, kind: Body
) -> list[dict[str, object]]:
    """The answer to each image on its own.

    Raises:
        click.ClickException: One has none.
    """
    connection = await Connection.to(target)
    answers = []
    for image in images:
        head, body = request(kind, target, image)
        status, answer = await connection.ask(head + b"\r\n" + body, timeout)
        if status != 200:
            raise click.ClickException(f"{image.name}: {status} {answer[:200]!r}")
        answers.append(json.loads(answer))
    connection.close()
    return answers


if __name__ == "__main__":
    main()
