"""The largest images that are accepted, under the memory limits of the manifests.

    python -m bench.large_images

Each pod of `deploy/` is started with the environment of its manifest in a control group with the
memory limit of its manifest, and is sent the largest 16-bit PNG that is accepted, several at once:
one that hardly compresses, so that the uploads are large too, and one of a few megabytes. No
process may be killed, and each request must be answered or refused with a status that the README
names.
Needs Linux and the right to make control groups (root), and says so where it has not.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import httpx
import psutil
from rich.console import Console
from rich.table import Table

from bench.files import chest, raster, stored
from bench.manifests import container, environment
from bench.processes import Served, serving
from service.settings import Settings

_ROOT = Path("/sys/fs/cgroup")
_NAME = f"cxr-bench-{os.getpid()}"
_DOCUMENTED = {"200", "413", "429", "504"}
_UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}


class NoGroup(Exception):
    """Why no control group can be made here."""


@dataclass(frozen=True)
class Group:
    """A control group with a limit on memory.

    Attributes:
        folder: Of it.
        unified: Whether it is one of version 2.
        limit: Bytes.
    """

    folder: Path
    unified: bool
    limit: int

    @property
    def entrance(self) -> tuple[str, ...]:
        """A command that runs another in the group, with all that it starts."""
        return "sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.folder / "cgroup.procs")

    @property
    def resident(self) -> int:
        """Bytes of memory that cannot be reclaimed; without the files that the kernel caches."""
        name = "anon" if self.unified else "total_rss"
        return self._read("memory.stat", name)

    @property
    def killed(self) -> int:
        """Processes that were killed because the limit was reached."""
        return self._read("memory.events" if self.unified else "memory.oom_control", "oom_kill")

    def _read(self, file: str, name: str) -> int:
        for line in (self.folder / file).read_text().splitlines():
            key, value = line.split()
            if key == name:
                return int(value)
        raise KeyError(name)


@contextmanager
def group(name: str, limit: int) -> Iterator[Group]:
    """Make a control group of version 1 or 2, whichever counts memory here.

    Raises:
        NoGroup: That is not allowed, or neither is there.
    """
    unified = not (_ROOT / "memory").is_dir()
    folder = (_ROOT if unified else _ROOT / "memory") / f"{_NAME}-{name}"
    try:
        if unified and "memory" not in (_ROOT / "cgroup.subtree_control").read_text().split():
            (_ROOT / "cgroup.subtree_control").write_text("+memory")
        folder.mkdir()
        file = "memory.max" if unified else "memory.limit_in_bytes"
        (folder / file).write_text(str(limit))
    except OSError as error:
        with suppress(OSError):
            folder.rmdir()
        raise NoGroup(f"no control group can be made under {_ROOT}: {error}") from error
    try:
        yield Group(folder, unified, limit)
    finally:
        for _ in range(100):  # until its processes have ended
            with suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.1)


@dataclass(frozen=True)
class Pod:
    """A pod of the manifests.

    Attributes:
        name: As the table has it.
        overlay: Folder of deploy/.
        deployment: Name of its Deployment.
        service: What it serves.
    """

    name: str
    overlay: str
    deployment: str
    service: str = "service:ChestRadiographs"

    @property
    def limit(self) -> int:
        """Bytes of memory."""
        text = container(self.overlay, self.deployment)["resources"]["limits"]["memory"]
        return int(text[:-2]) * _UNITS[text[-2:]]

    @property
    def environment(self) -> dict[str, str]:
        """Its settings; keys and addresses are those of the bench."""
        given = environment(container(self.overlay, self.deployment))
        return {
            name: value
            for name, value in given.items()
            if name not in ("CXR_API_KEYS_FILE", "CXR_EXPLAINER_URL")
        }


ALL_IN_ONE = Pod("all in one", "base", "cxr")
GATEWAY = Pod("gateway", "overlays/split", "cxr")
EXPLAINER_POD = Pod("explainer", "overlays/split", "cxr-explainer", "service:Explainer")


@contextmanager
def running(pod: Pod, folder: Path, more: dict[str, str]) -> Iterator[tuple[Served, Group]]:
    """Start a pod's service in a group with its limit."""
    with group(pod.deployment, pod.limit) as limited, ExitStack() as stack:
        settings = pod.environment | {"CXR_ALLOW_ANONYMOUS": "true"} | more
        yield stack.enter_context(serving(folder, settings, pod.service, limited.entrance)), limited


@contextmanager
def highest(read: Callable[[], int]) -> Iterator[list[int]]:
    """Read a number over and over; the highest is the only element of what is yielded."""
    most, stop = [read()], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            most[0] = max(most[0], read())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


def ask(url: str, path: str, data: bytes, at_once: int) -> Counter[str]:
    """Send a file several times at once; how often each status was the answer."""

    def post(_: int) -> str:
        with httpx.Client(timeout=120) as client:
            try:
                answer = client.post(url + path, files={"image": data})
            except httpx.HTTPError as error:
                return type(error).__name__
            return str(answer.status_code)

    with ThreadPoolExecutor(at_once) as callers:
        return Counter(callers.map(post, range(at_once)))


def files(pixels: int) -> dict[str, bytes]:
    """The largest square 16-bit PNG files that are accepted, by how well they compress."""
    side = math.isqrt(pixels)
    noisy = stored(chest(1, side, side), 16)
    smooth = noisy & 0xF000
    return {
        name: raster(values, "PNG", compress_level=1)
        for name, values in (("noisy", noisy), ("smooth", smooth))
    }


@click.command()
@click.option("--bundle", default="models/demo", show_default=True)
@click.option(
    "--precision", "precisions", multiple=True, default=("float32", "int8"), show_default=True
)
@click.option("--pod", "pods", multiple=True, type=click.Choice(["whole", "split"]), help="[both]")
def main(bundle: str, precisions: tuple[str, ...], pods: tuple[str, ...]) -> None:
    """Send them and print a table; exit status 1 where a process was killed or an answer is odd."""
    images = files(Settings().max_pixels)
    table = Table(
        "pod", "precision", "file", "asked", "answers", "anonymous, MiB", "limit", "killed"
    )
    bad = 0
    try:
        with tempfile.TemporaryDirectory(prefix="cxr-large-") as temporary:
            number = 0
            for precision in precisions:
                for pod in pods or ("whole", "split"):
                    more = {
                        "CXR_BUNDLE": str(Path(bundle).resolve()),
                        "CXR_PRECISION": precision,
                        "CXR_RUNTIME": "openvino",
                    }
                    number += 1
                    folder = Path(temporary, str(number))
                    folder.mkdir()
                    for row, wrong in _rows(pod, precision, images, folder, more):
                        table.add_row(*row, style="red" if wrong else "")
                        print(*row, sep=" | ", file=sys.stderr, flush=True)
                        bad += wrong
    except NoGroup as error:
        raise click.ClickException(f"{error}. This measurement needs root on Linux.") from error
    Console(width=120).print(table)
    raise SystemExit(bool(bad))


def _rows(
    pod: str, precision: str, images: dict[str, bytes], folder: Path, more: dict[str, str]
) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Rows of the table, and whether what each says must not be."""
    with ExitStack() as stack:
        if pod == "whole":
            served, limited = stack.enter_context(running(ALL_IN_ONE, folder / "whole", more))
            watched = [(ALL_IN_ONE.name, served, limited)]
        else:
            explainer, theirs = stack.enter_context(
                running(EXPLAINER_POD, folder / "explainer", more)
            )
            served, ours = stack.enter_context(
                running(GATEWAY, folder / "gateway", more | {"CXR_EXPLAINER_URL": explainer.url})
            )
            watched = [(GATEWAY.name, served, ours), (EXPLAINER_POD.name, explainer, theirs)]
        for path, at_once in (("/predict", 8), ("/gradcam", 4), ("/explain", 4)):
            for kind, data in images.items():
                with ExitStack() as reading:
                    peaks = [
                        reading.enter_context(highest(lambda limited=limited: limited.resident))
                        for _, _, limited in watched
                    ]
                    before = [_workers(process) for _, process, _ in watched]
                    answers = ask(served.url, path, data, at_once)
                said = ", ".join(f"{count} x {status}" for status, count in sorted(answers.items()))
                for (name, process, limited), (peak,), workers in zip(
                    watched, peaks, before, strict=True
                ):
                    killed = max(limited.killed, len(workers - _workers(process)))
                    row = (
                        name,
                        precision,
                        f"{kind}, {len(data) / 2**20:.0f} MiB",
                        f"{at_once} x {path}",
                        said,
                        f"{peak / 2**20:.0f}",
                        f"{limited.limit / 2**20:.0f}",
                        str(killed),
                    )
                    yield row, bool(killed or set(answers) - _DOCUMENTED)


def _workers(served: Served) -> set[int]:
    return {child.pid for child in psutil.Process(served.process.pid).children(recursive=True)}


if __name__ == "__main__":
    main()
