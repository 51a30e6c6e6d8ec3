"""The DICOM node between real archives: delivery, faults, damaged files, speed, memory.

python -m bench.node SCENARIO [--count 300] [--bundle models/demo]

Scenarios: deliver, faults, speed, hostile, memory. Each prints its figures as JSON.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import psutil
import pydicom
import uvicorn
from pynetdicom import AE, _config
from pynetdicom.presentation import build_context
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.machine import machine
from bench.pacs import Node, Pacs, dimse, missing_tools, node_running, running, stow, wait_for
from bench.processes import EXPLAINER, PREDICTION, Served, free_port, serving
from bench.radiographs import named, radiographs

_config.LOG_HANDLER_LEVEL = "none"

_SR, _SC = "SR", "OT"
Images = dict[str, bytes]


@contextmanager
def _service(folder: Path, bundle: Path) -> Iterator[Served]:
    settings = {"CXR_BUNDLE": str(bundle.absolute())}
    with serving(folder / "service", settings) as served:
        yield served


class Sender:
    """An SCU that keeps account of what it was told.

    Args:
        node: To send to.
        title: Its own AE title.
    """

    def __init__(self, node: Node, title: str = "SENDER") -> None:
        self._node = node
        self._entity = AE(ae_title=title)
        self._entity.connection_timeout = self._entity.acse_timeout = 20
        self._entity.dimse_timeout = self._entity.network_timeout = 60
        self._entity.maximum_pdu_size = 0

    def send(self, files: list[bytes], abort_after: int | None = None) -> dict[str, int]:
        """Send files over one association; the status by SOP Instance UID of each that got one."""
        read = [pydicom.dcmread(io.BytesIO(each)) for each in files]
        wanted = {(each.SOPClassUID, each.file_meta.TransferSyntaxUID) for each in read}
        contexts = [build_context(sop_class, syntax) for sop_class, syntax in sorted(wanted)]
        answered: dict[str, int] = {}
        association = self._entity.associate(
            "127.0.0.1", self._node.port, contexts=contexts, ae_title=self._node.title
        )
        if not association.is_established:
            return answered
        for number, each in enumerate(read):
            if abort_after is not None and number == abort_after:
                association.abort()
                return answered
            try:
                answer = association.send_c_store(each)
            except (RuntimeError, ValueError):
                return answered
            if "Status" not in answer:
                return answered
            answered[str(each.SOPInstanceUID)] = int(answer.Status)
        association.release()
        return answered


def _results(pacs: Pacs, source_of: dict[str, str]) -> dict[str, Any]:
    """Results in an archive, by source study: how many studies have exactly one of each."""
    found: Counter[tuple[str, str]] = Counter()
    for each in pacs.instances():
        if each.uid not in source_of:
            found[each.study, each.modality] += 1
    studies = set(source_of.values())
    exact = [s for s in studies if found[s, _SR] == 1 and found[s, _SC] == 1]
    strangers = sum(n for (study, _), n in found.items() if study not in studies)
    return {
        "studies": len(studies),
        "with exactly one SR and one SC": len(exact),
        "results": sum(found.values()),
        "in other studies": strangers,
        "doubled": sum(n - 1 for n in found.values() if n > 1),
    }


def _studies(images: Images) -> dict[str, str]:
    return {
        name: str(pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True).StudyInstanceUID)
        for name, file in images.items()
    }


def deliver(folder: Path, bundle: Path, count: int) -> dict[str, Any]:
    """Orthanc to node to Orthanc, half by C-STORE and half by STOW-RS."""
    images = dict(radiographs(count))
    source_of = _studies(images)
    pacs = Pacs("SOURCE", folder / "pacs")
    with _service(folder, bundle) as served:
        node = Node(folder / "node", served.url, [dimse("pacs", pacs)])
        pacs.modalities["node"] = (node.title, node.port)
        pacs.servers["node"] = f"{node.url}/dicomweb/"
        with running(pacs), node_running(node):
            print(node.run("check"), end="")
            identifiers = [pacs.add(file) for file in images.values()]
            started = time.monotonic()
            half = len(identifiers) // 2
            by_dimse = pacs.post("/modalities/node/store", identifiers[:half])
            for start in range(half, count, 10):
                part = {"Resources": identifiers[start : start + 10]}
                pacs.post("/dicom-web/servers/node/stow", part)
            sent = time.monotonic() - started
            wait_for(node.idle, 3600, "the end")
            took = time.monotonic() - started
            found = _results(pacs, source_of)
            return {
                "C-STORE": {k: by_dimse[k] for k in ("InstancesCount", "FailedInstancesCount")},
                "STOW-RS": count - half,
                "seconds to send": round(sent, 1),
                "seconds to the last delivery": round(took, 1),
                "status": _plain(node.status()),
                **found,
                "opened": _opened(pacs, source_of, folder),
            }


def _plain(status: dict[str, Any]) -> dict[str, Any]:
    return {k: status[k] for k in ("instances", "destinations")} | {"dead": status["dead"][:5]}


def _opened(pacs: Pacs, source_of: dict[str, str], folder: Path) -> dict[str, int]:
    """How many results pydicom and dsrdump open, and Orthanc's explorer shows."""
    opened: Counter[str] = Counter()
    for each in pacs.instances():
        if each.uid in source_of:
            continue
        content = pacs.file(each.id)
        dataset = pydicom.dcmread(io.BytesIO(content))
        if each.modality == _SR:
            file = folder / "result.dcm"
            file.write_bytes(content)
            done = subprocess.run(["dsrdump", file], capture_output=True, text=True, check=False)
            opened["dsrdump"] += done.returncode == 0 and "Pneumonia" in done.stdout
        else:
            opened["pixels"] += dataset.pixel_array.ndim == 3
            shown = httpx.get(f"{pacs.url}/instances/{each.id}/preview", timeout=60)
            opened["Orthanc's preview"] += shown.status_code == 200
        opened["pydicom"] += 1
    return dict(opened)


def faults(folder: Path, bundle: Path, count: int) -> dict[str, Any]:
    """Everything that may break, breaks while every instance is sent three times."""
    images = dict(radiographs(count))
    source_of = _studies(images)
    pacs = Pacs("ARCHIVE", folder / "pacs")
    account = _Account(images)
    with _Service(folder, bundle) as service:
        node = Node(folder / "node", service.url, [dimse("dimse", pacs), stow("stow", pacs)])
        with running(pacs), node_running(node):
            breaker = _Breaker(node, pacs, service)
            breaker.start()
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(lambda turn: account.send_all(node, turn), range(3)))
            breaker.join()
            wait_for(lambda: pacs.process is not None and node.idle(), 3600, "the end")
            return {
                **account.figures(),
                "broken": dict(Counter(breaker.done)),
                "status": _plain(node.status()),
                **_results(pacs, source_of),
            }


class _Account:
    """What senders were told, by instance."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._lock = threading.Lock()
        self._acknowledged: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._attempts = 0

    def send_all(self, node: Node, turn: int) -> None:
        """Send all once, in parts; what got no Success is sent again until it has."""
        sender, everything = Sender(node), list(self._images)
        for start in range(0, len(everything), 10):
            names = everything[start : start + 10]
            abort = 5 if (start // 10 + turn) % 7 == 0 else None
            while names:
                answered = sender.send([self._images[each] for each in names], abort)
                abort = None
                with self._lock:
                    self._attempts += len(answered)
                    for name, status in answered.items():
                        if status == 0:
                            self._acknowledged[name] += 1
                        else:
                            self._refused[f"{status:04X}"] += 1
                names = [each for each in names if answered.get(each) != 0]
                if names:
                    time.sleep(0.5)

    def figures(self) -> dict[str, Any]:
        return {
            "answered": self._attempts,
            "acknowledged": sum(self._acknowledged.values()),
            "instances acknowledged": len(self._acknowledged),
            "refused, by status": dict(self._refused),
        }


class _Service:
    """A prediction service that can be down for a while, on one port."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self._folder, self._bundle = folder, bundle
        self._port, self._starts = free_port(), 0
        self.url = f"http://127.0.0.1:{self._port}"
        self._running = ExitStack()

    def __enter__(self) -> _Service:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._starts += 1
        settings = {"CXR_BUNDLE": str(self._bundle.absolute())}
        folder = self._folder / f"service{self._starts}"
        self._running.enter_context(serving(folder, settings, port=self._port))

    def stop(self) -> None:
        self._running.close()


class _Breaker(threading.Thread):
    """Kills each part ten times, and takes archive, service and disk away in between."""

    def __init__(self, node: Node, pacs: Pacs, service: _Service) -> None:
        super().__init__()
        self._node, self._pacs, self._service = node, pacs, service
        self.done: list[str] = []

    def run(self) -> None:
        between = {2: self._no_archive, 5: self._no_service, 8: self._no_room}
        for turn in range(10):
            for part in ("receiver", "worker"):
                time.sleep(3.0)
                if self._node.kill(part):
                    self.done.append(f"kill -9 {part}")
            if turn in between:
                between[turn]()

    def _no_archive(self) -> None:
        self._pacs.stop()
        time.sleep(60)
        self._pacs.start()
        self.done.append("destination down 60 s")

    def _no_service(self) -> None:
        self._service.stop()
        time.sleep(60)
        self._service.start()
        self.done.append("prediction service down 60 s")

    def _no_room(self) -> None:
        _fill_disk(self._node)
        self.done.append("no room on the disk 10 s")


def _fill_disk(node: Node) -> None:
    """Have the node see less room than its reserve for ten seconds: it is started with another."""
    node.stop()
    settings, node.settings = node.settings, ["reserve_bytes = 1000000000000000"]
    node.write_config()
    text = node.config.read_text(encoding="utf-8").replace("reserve_bytes = 1000000\n", "")
    node.config.write_text(text, encoding="utf-8")
    node.restart_as_written()
    time.sleep(10)
    node.stop()
    node.settings = settings
    node.start()


def speed(folder: Path, bundle: Path, count: int) -> dict[str, Any]:
    """Four associations of 2-megapixel DX against /predict of the same files, and light load."""
    paths = _large_files(folder / "files", count)
    pacs = Pacs("ARCHIVE", folder / "pacs")
    with _service(folder, bundle) as served:
        predicted = count / _seconds_to_predict(served, paths)
        print(f"/predict: {predicted:.2f} files a second", flush=True)
        node = Node(folder / "node", served.url, [dimse("dimse", pacs)])
        with running(pacs), node_running(node):
            _send_all(node, paths[:4])  # each part imports what it needs with the first
            wait_for(node.idle, 60, "the first")
            before = _processor_seconds(node, served, pacs)
            started = time.monotonic()
            _send_all(node, paths[4:])
            received = count / (time.monotonic() - started)
            print(f"acknowledged: {received:.2f} a second", flush=True)
            wait_for(node.idle, 3600, "the end")
            delivered = count / (time.monotonic() - started)
            print(f"delivered: {delivered:.2f} a second", flush=True)
            after = _processor_seconds(node, served, pacs)
            node.stop()
            latencies = _latencies(folder, served, pacs)
    return {
        "/predict, files a second": round(predicted, 1),
        "acknowledged a second": round(received, 1),
        "acknowledged / predicted": round(received / predicted, 2),
        "delivered (SR and SC) a second": round(delivered, 2),
        "delivered / predicted": round(delivered / predicted, 2),
        "processor milliseconds a delivered image": {
            part: round((after[part] - before[part]) / count * 1e3, 1) for part in after
        },
        "light load, C-STORE to both delivered, seconds": latencies,
    }


def _processor_seconds(node: Node, served: Served, pacs: Pacs) -> dict[str, float]:
    assert pacs.process is not None
    processes = {part: node.part(part) for part in ("receiver", "worker")}
    processes |= {role: served.find(role) for role in (PREDICTION, EXPLAINER)}
    processes["archive"] = psutil.Process(pacs.process.pid)
    return {
        name: sum(process.cpu_times()[:2])
        for name, process in processes.items()
        if process is not None
    }


def _large_files(folder: Path, count: int) -> list[Path]:
    """Uncompressed DX of 2 megapixels: `count`, and four before them to begin with."""
    from bench.files import chest, dicom, stored

    folder.mkdir(parents=True)
    drawn = [stored(chest(number, 1600, 1300), 12) for number in range(8)]
    paths = []
    for number in range(count + 4):
        named_as = {level: named(number, level) for level in ("study", "series", "instance")}
        paths.append(folder / f"{number}.dcm")
        paths[-1].write_bytes(
            dicom(
                drawn[number % 8],
                12,
                SOPInstanceUID=named_as["instance"],
                StudyInstanceUID=named_as["study"],
                SeriesInstanceUID=named_as["series"],
            )
        )
    return paths


def _seconds_to_predict(served: Served, paths: list[Path]) -> float:
    with httpx.Client(base_url=served.url, timeout=60) as client, ThreadPoolExecutor(4) as pool:

        def predict(path: Path) -> int:
            return client.post("/predict", files={"image": path.read_bytes()}).status_code

        assert set(pool.map(predict, paths)) == {200}  # larger batches are compiled meanwhile
        started = time.monotonic()
        assert set(pool.map(predict, paths[4:])) == {200}
        return time.monotonic() - started


def _send_all(node: Node, paths: list[Path]) -> None:
    """Send files over four associations at one time, by dcmtk's storescu."""
    program = shutil.which("storescu", path="/usr/bin:/usr/local/bin") or "storescu"
    address = ["-aet", "SENDER", "-aec", node.title, "127.0.0.1", str(node.port)]
    command = [program, "--max-send-pdu", "131072", *address]
    senders = [subprocess.Popen([*command, *paths[start::4]]) for start in range(4)]
    assert [each.wait(600) for each in senders] == [0] * 4


def _latencies(folder: Path, served: Served, pacs: Pacs, count: int = 100) -> dict[str, float]:
    node = Node(folder / "light", served.url, [dimse("dimse", pacs)])
    seconds = []
    with node_running(node):
        for name, file in list(radiographs(count + 3, real_every=0)):
            started = time.monotonic()
            assert Sender(node).send([file]) == {name: 0}
            while not node.idle():
                time.sleep(0.01)
            seconds.append(time.monotonic() - started)
    # The first ones wait for what is imported with them.
    seconds = sorted(seconds[3:])
    return {
        "median": round(seconds[count // 2], 2),
        "99 %": round(seconds[count * 99 // 100 - 1], 2),
        "highest": round(seconds[-1], 2),
    }


def hostile(folder: Path, bundle: Path, count: int) -> dict[str, Any]:
    """Damaged files by C-STORE as they are, and broken bodies by STOW-RS."""
    from bench.mutate import mutants
    from bench.raw_store import store_raw

    pacs = Pacs("ARCHIVE", folder / "pacs")
    with _service(folder, bundle) as served:
        node = Node(folder / "node", served.url, [dimse("dimse", pacs)], settings=["attempts = 3"])
        with running(pacs), node_running(node):
            told: Counter[str] = Counter()
            for seed, _, data in mutants(0, count):
                told[store_raw(node, f"2.25.{7 * 10**20 + seed}", data)] += 1
            wait_for(node.idle, 3600, "the end")
            broken = broken_stow(node)
            status = node.status()
            reasons = Counter(each["reason"].split(":")[0] for each in status["dead"])
            alive = node.answers() and node.part("worker") is not None
    log = (node.folder / "node.log").read_text(encoding="utf-8")
    return {
        "sent": count,
        "told": dict(told),
        "status": {k: status[k] for k in ("instances", "destinations")},
        "reasons": dict(reasons.most_common()),
        "without a reason": sum(not each["reason"] for each in status["dead"]),
        "parts that ended": log.count("a part of the node ended"),
        "alive": alive,
        "broken STOW-RS": broken,
    }


def broken_stow(node: Node) -> dict[str, int]:
    multipart = 'multipart/related; type="application/dicom"; boundary=B'
    file = next(iter(radiographs(1, real_every=0)))[1]
    head = b"--B\r\nContent-Type: application/dicom\r\n\r\n"
    cases = {
        "no boundary": ("multipart/related", head + file + b"\r\n--B--"),
        "no end": (multipart, head + file),
        "no parts": (multipart, b"nothing"),
        "not DICOM": (multipart, head + b"nothing\r\n--B--\r\n"),
        "another type": ("text/plain", b"nothing"),
        "empty": (multipart, b""),
    }
    return {
        name: httpx.post(
            f"{node.url}/dicomweb/studies", content=body, headers={"Content-Type": kind}
        ).status_code
        for name, (kind, body) in cases.items()
    }


def memory(folder: Path, bundle: Path, count: int) -> dict[str, Any]:
    """Resident memory of both parts after a tenth of the instances, and after all.

    A stand-in answers for the service, with objects that the service made once: it is the node's
    memory that is asked for, and the service has a bench of its own.
    """
    pacs = Pacs("ARCHIVE", folder / "pacs")
    with _service(folder, bundle) as served:
        canned = httpx.post(
            f"{served.url}/explain",
            files={"image": next(iter(radiographs(1, real_every=0, side=256)))[1]},
            data={"objects": "sr,enhanced-sr,basic-text-sr,sc,json", "method": "cam"},
            timeout=60,
        )
        canned.raise_for_status()
    with _stand_in(canned.content, canned.headers["content-type"]) as url:
        settings = ["keep_seconds = 1"]
        node = Node(folder / "node", url, [dimse("dimse", pacs)], settings=settings)
        with running(pacs), node_running(node):
            found: dict[str, Any] = {}
            sender = Sender(node)
            made = list(radiographs(20, real_every=0, side=256))
            for number in range(0, count, 20):
                sender.send([_renamed(file, number + i) for i, (_, file) in enumerate(made)])
                wait_for(lambda: node.counts()["instances"].get("received", 0) < 50, 600, "room")
                if number + 20 in (count // 10, count):
                    wait_for(node.idle, 7200, "the end")
                    found[str(number + 20)] = {
                        part: round(process.memory_info().rss / 2**20, 1)
                        for part in ("receiver", "worker")
                        if (process := node.part(part)) is not None
                    }
                    print(json.dumps(found), flush=True)
            return {"MiB": found, "status": _plain(node.status())}


def _renamed(file: bytes, number: int) -> bytes:
    """The same radiograph under another SOP Instance UID of the same length."""
    dataset = pydicom.dcmread(io.BytesIO(file))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = named(
        number, "instance"
    )
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


@contextmanager
def _stand_in(body: bytes, media_type: str) -> Iterator[str]:
    """Answers every request for an explanation with the same body."""

    async def explain(request: Request) -> Response:
        await request.body()
        return Response(body, headers={"Content-Type": media_type})

    port = free_port()
    application = Starlette(routes=[Route("/explain", explain, methods=["POST"])])
    options = uvicorn.Config(application, port=port, log_level="error")
    server = uvicorn.Server(options)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


SCENARIOS = {each.__name__: each for each in (deliver, faults, speed, hostile, memory)}


@click.command()
@click.argument("scenario", type=click.Choice(list(SCENARIOS)))
@click.option("--count", default=300, show_default=True)
@click.option("--bundle", type=click.Path(path_type=Path), default=Path("models/demo"))
@click.option("--keep", type=click.Path(path_type=Path), help="Folder to work in, kept.")
def main(scenario: str, count: int, bundle: Path, keep: Path | None) -> None:
    """Run one scenario and print its figures."""
    if reason := missing_tools():
        raise click.ClickException(reason)
    with tempfile.TemporaryDirectory(prefix="cxr-node-") as folder:
        figures = SCENARIOS[scenario](keep or Path(folder), bundle, count)
    print(json.dumps({"scenario": scenario, **machine(), **figures}, indent=1))


if __name__ == "__main__":
    main()
