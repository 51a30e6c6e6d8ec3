"""Memory after uploads whose callers hang up: `python -m bench.abandoned --help`.

While slow files keep the decoders and the explainer busy, so that whatever comes has to wait, each
caller sends a whole file and leaves before there is an answer. Memory is that of the process that
holds such uploads, before, at its peak, and after the service has come to rest.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import click
import httpx
from pydicom import uid

from bench.figures import Figure, at_least, at_most, summarise, table
from bench.files import ENCODERS, chest, dicom, raster, stored
from bench.processes import EXPLAINER, PREDICTION, Served, serving
from bench.wire import Target, form_request

PATHS = {
    "/predict": PREDICTION,
    "/preview": PREDICTION,
    "/gradcam": EXPLAINER,
    "/explain": PREDICTION,
}
"""Where uploads go, and which process holds them while they wait."""

_HELD = 256 << 20
_CLIENTS = 8
_SECONDS = 600.0
"""For all uploads of one path."""


@dataclass
class Watch:
    """The resident memory of a process, read over and over.

    Attributes:
        most: Bytes at the peak so far.
    """

    served: Served
    role: str
    most: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._stop.wait(0.02):
            self.most = max(self.most, self.served.memory(self.role))

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()


async def _abandon(target: Target, file: bytes) -> bool:
    """Send a whole file and leave; False where an answer came before all of it was sent."""
    try:
        reader, writer = await asyncio.open_connection(target.host, target.port)
    except OSError:
        return False
    head, body = form_request(target, file)
    answer = asyncio.ensure_future(reader.read(1))
    try:
        writer.write(head + b"\r\n")
        view = memoryview(body)
        for at in range(0, len(view), 1 << 18):
            writer.write(view[at : at + (1 << 18)])
            await writer.drain()
            if answer.done():
                return False
        await asyncio.sleep(0.05)  # the last of it has been read, and the file waits
        return not answer.done()
    except OSError:
        return False
    finally:
        answer.cancel()
        writer.transport.abort()
        with suppress(OSError, asyncio.CancelledError):
            await answer


async def _abandon_all(target: Target, file: bytes, uploads: int) -> tuple[int, int]:
    """Send until so many files were sent whole; how many were, and how many were turned away."""
    left, turned_away = uploads, 0
    end = time.monotonic() + _SECONDS

    async def caller() -> None:
        nonlocal left, turned_away
        while left > 0 and time.monotonic() < end:
            left -= 1
            if not await _abandon(target, file):
                left += 1
                turned_away += 1
                await asyncio.sleep(0.05)

    await asyncio.gather(*(caller() for _ in range(_CLIENTS)))
    return uploads - left, turned_away


@contextmanager
def _kept_busy(url: str, path: str, slow: bytes) -> Iterator[None]:
    """Ask for something slow again and again, by as many callers as there are threads for it."""
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=120) as client:
            while not stop.is_set():
                with suppress(httpx.HTTPError):
                    client.post(url + path, files={"image": slow})

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _at_rest(served: Served, role: str) -> int:
    """Resident bytes once they have been the same for two seconds."""
    seen: list[int] = []
    for _ in range(600):
        seen.append(served.memory(role))
        if len(seen) > 20 and max(seen[-20:]) - min(seen[-20:]) < 1 << 20:
            break
        time.sleep(0.1)
    return seen[-1]


def _slow() -> bytes:
    values = stored(chest(1, 3000, 3000), 12)
    return dicom(
        values,
        12,
        syntax=uid.JPEG2000Lossless,
        frame=ENCODERS[uid.JPEG2000Lossless](values, 12),
    )


def measure(served: Served, path: str, slow: bytes, uploads: int, size: int) -> list[Figure]:
    """Leave so many uploads of so many bytes behind at a path."""
    role = PATHS[path]
    # A file that would be decoded: a PNG with something behind it.
    image = raster(stored(chest(2, 1024, 1024), 8), "PNG")
    file = image + os.urandom(size - len(image))
    target = Target.parse(served.url + path)
    with httpx.Client(timeout=120) as client:
        # What the first of a kind takes, in each thread, is no leak.
        client.post(served.url + path, files={"image": image})
        with _kept_busy(served.url, path, slow):
            asyncio.run(_abandon_all(target, file, 2 * _CLIENTS))
        before = _at_rest(served, role)
        watch = Watch(served, role)
        with watch.watching(), _kept_busy(served.url, path, slow):
            sent, turned_away = asyncio.run(_abandon_all(target, file, uploads))
        after = _at_rest(served, role)
        status = client.post(served.url + path, files={"image": image}).status_code
    return [
        at_least("abandoned uploads", sent, uploads),
        Figure("turned away before", turned_away),
        Figure("resident before", before / 2**20, unit="MiB"),
        Figure("at the peak", watch.most / 2**20, unit="MiB"),
        Figure("after", after / 2**20, unit="MiB"),
        at_most("after, of before", after / before, 1.1),
        Figure("answer to a good image then", status),
    ]


@click.command()
@click.option("--path", "paths", multiple=True, type=click.Choice(list(PATHS)), help="[all]")
@click.option("--uploads", default=500, show_default=True)
@click.option("--mib", default=8.0, show_default=True, help="Size of each.")
@click.option("--bundle", default="models/demo", show_default=True)
def main(paths: tuple[str, ...], uploads: int, mib: float, bundle: str) -> None:
    """Measure and print; exit status 1 where memory did not come back within a tenth."""
    settings = {
        "CXR_BUNDLE": str(Path(bundle).resolve()),
        "CXR_MAX_HELD_BYTES": str(_HELD),
        "CXR_STALL_SECONDS": "120",  # on a machine that others use too
    }
    slow = _slow()
    summaries = []
    with tempfile.TemporaryDirectory(prefix="cxr-abandoned-") as temporary:
        for number, path in enumerate(paths or PATHS):
            with serving(Path(temporary, str(number)), settings) as served:
                figures = measure(served, path, slow, uploads, int(mib * 2**20))
            summaries += summarise(f"{path}, {mib:g} MiB", [figures])
            click.echo(table(summaries[-len(figures) :]), err=True)
    click.echo(table(summaries))
    raise SystemExit(any(summary.held is False for summary in summaries))


if __name__ == "__main__":
    main()
