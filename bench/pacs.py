"""A PACS (Orthanc) and the DICOM node as processes on loopback ports."""

from __future__ import annotations

import json
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.processes import environment, free_port

PLUGINS = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def missing_tools() -> str | None:
    """Why no PACS can be started here; None where it can."""
    if shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin") is None:
        return "Orthanc (Debian's orthanc) is not installed"
    if not PLUGINS.is_file():
        return "Orthanc's DICOMweb plugin (Debian's orthanc-dicomweb) is not installed"
    return None


def wait_for(condition: Callable[[], bool], limit: float, what: str) -> float:
    """Seconds until a condition holds.

    Raises:
        TimeoutError: It does not within the limit.
    """
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > limit:
            raise TimeoutError(f"{what} did not come within {limit:g} s")
        time.sleep(0.2)
    return time.monotonic() - started


@dataclass(frozen=True)
class Stored:
    """An instance in an archive.

    Attributes:
        id: As Orthanc names it.
        uid: SOP Instance UID.
        study: Study Instance UID.
        modality: "SR" of a report, "OT" of a picture.
    """

    id: str
    uid: str
    study: str
    modality: str


@dataclass
class Pacs:
    """An Orthanc.

    Attributes:
        title: Its AE title.
        folder: Of its configuration and its index.
        dicom_port: For DIMSE.
        http_port: For REST, the explorer and DICOMweb.
        modalities: AE title and port of those that it may send to, by name.
        servers: DICOMweb servers that it may send to, by name.
    """

    title: str
    folder: Path
    dicom_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    modalities: dict[str, tuple[str, int]] = field(default_factory=dict)
    servers: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of its REST interface."""
        return f"http://127.0.0.1:{self.http_port}"

    def start(self) -> None:
        """Start it; it answers when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "orthanc.json"
        options = {
            "Name": self.title,
            "DicomAet": self.title,
            "DicomPort": self.dicom_port,
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "StableAge": 2,
            "OverwriteInstances": False,
            "DicomAlwaysAllowStore": True,
            "DicomModalities": {
                name: [title, "127.0.0.1", port] for name, (title, port) in self.modalities.items()
            },
            "Plugins": [str(PLUGINS)],
            "DicomWeb": {"Servers": {name: [url] for name, url in self.servers.items()}},
            **self.options,
        }
        configuration.write_text(json.dumps(options), encoding="utf-8")
        program = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin") or "Orthanc"
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, "--verbose", configuration], stdout=log, stderr=log
            )
        wait_for(self._answers, 60, self.title)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/system", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        """End it; what it has stored stays."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def get(self, path: str) -> Any:
        """An answer of the REST interface."""
        answer = httpx.get(f"{self.url}{path}", timeout=60)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: Any, seconds: float = 600) -> Any:
        """Post JSON, or bytes, to the REST interface."""
        sent = {"content": body} if isinstance(body, bytes) else {"json": body}
        answer = httpx.post(f"{self.url}{path}", timeout=seconds, **sent)
        answer.raise_for_status()
        return answer.json()

    def add(self, file: bytes) -> str:
        """Store a file; its identifier in Orthanc."""
        return str(self.post("/instances", file)["ID"])

    def instances(self) -> list[Stored]:
        """All instances."""
        studies = {each["ID"]: each["MainDicomTags"] for each in self.get("/studies?expand")}
        series = {each["ID"]: each for each in self.get("/series?expand")}
        return [
            Stored(
                each["ID"],
                each["MainDicomTags"]["SOPInstanceUID"],
                studies[series[each["ParentSeries"]]["ParentStudy"]]["StudyInstanceUID"],
                series[each["ParentSeries"]]["MainDicomTags"].get("Modality", ""),
            )
            for each in self.get("/instances?expand")
        ]

    def file(self, identifier: str) -> bytes:
        """An instance as it was stored."""
        return httpx.get(f"{self.url}/instances/{identifier}/file", timeout=60).content


@contextmanager
def running(*archives: Pacs) -> Iterator[None]:
    """Start archives and end them."""
    try:
        for each in archives:
            each.start()
        yield
    finally:
        for each in archives:
            each.stop()


@dataclass
class Node:
    """The DICOM node.

    Attributes:
        folder: Of its configuration, queue and log.
        service_url: Of the prediction service.
        destinations: Tables of node.toml.
        port: For DIMSE.
        http_port: For STOW-RS and metrics.
        accept: AE titles that may send.
        settings: Lines of the table [node] beside those.
    """

    folder: Path
    service_url: str
    destinations: Sequence[str]
    port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    title: str = "CXRNODE"
    accept: Sequence[str] = ("SOURCE", "SENDER")
    settings: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self._http = httpx.Client(base_url=self.url, timeout=10)

    def use_tls(self, certificate: Path, key: Path, authority: Path) -> None:
        """Ask its HTTP server with a certificate."""
        context = ssl.create_default_context(cafile=str(authority))
        context.load_cert_chain(certificate, key)
        self._http.close()
        self._http = httpx.Client(
            base_url=self.url.replace("http:", "https:"), timeout=10, verify=context
        )

    def metrics(self) -> str:
        """What Prometheus is told."""
        return self._http.get("/metrics").text

    @property
    def config(self) -> Path:
        """Its node.toml."""
        return self.folder / "node.toml"

    @property
    def url(self) -> str:
        """Of its HTTP server."""
        return f"http://127.0.0.1:{self.http_port}"

    def write_config(self) -> None:
        """Write node.toml."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [
            "[node]",
            f'ae_title = "{self.title}"',
            f"port = {self.port}",
            f"http_port = {self.http_port}",
            'queue = "queue"',
            f'service_url = "{self.service_url}"',
            "reserve_bytes = 1000000",
            *self.settings,
        ]
        for title in self.accept:
            lines += ["[[accept]]", f'ae_title = "{title}"', 'host = "127.0.0.1"']
        for each in self.destinations:
            lines += ["[[destination]]", each]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def start(self) -> None:
        """Start it; it takes images when this returns."""
        self.write_config()
        self._launch()
        wait_for(lambda: self._ended() or self.answers(), 60, "the node")
        if self._ended():
            raise RuntimeError(f"the node ended; its log is {self.folder / 'node.log'}")

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def restart_as_written(self) -> None:
        """Start it with the node.toml that is there, which may let it take nothing."""
        self._launch()

    def _launch(self) -> None:
        with (self.folder / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command(), "node", "--config", str(self.config)],
                env=environment(),
                stdout=log,
                stderr=log,
            )

    @staticmethod
    def _command() -> list[str]:
        return [sys.executable, "-c", "from service.cli import main; main()"]

    def answers(self) -> bool:
        """Whether it takes images."""
        try:
            return self._http.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        """Tell it to end, and wait."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def close(self) -> None:
        """Close the connections to it."""
        self._http.close()

    def part(self, name: str) -> psutil.Process | None:
        """The process of a part: "receiver" or "worker"."""
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children():
            try:
                if name in child.cmdline():
                    return child
            except psutil.Error:
                continue
        return None

    def kill(self, name: str) -> bool:
        """Kill -9 a part; whether there was one."""
        process = self.part(name)
        if process is not None:
            process.kill()
        return process is not None

    def status(self) -> dict[str, Any]:
        """What `cxr node status` says."""
        return dict(json.loads(self.run("status", "--json")))

    def counts(self) -> dict[str, Any]:
        """The queue in numbers, as the node's HTTP server has them."""
        return dict(self._http.get("/queue.json").json())

    def run(self, *arguments: str) -> str:
        """Run a command of `cxr node` and return what it prints."""
        done = subprocess.run(
            [*self._command(), "node", "--config", str(self.config), *arguments],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def idle(self) -> bool:
        """Whether nothing waits to be scored or delivered."""
        try:
            counts = self.counts()
        except httpx.HTTPError:
            return False
        waiting = sum(
            states.get("waiting", 0) + states.get("committing", 0)
            for states in counts["destinations"].values()
        )
        return counts["instances"].get("received", 0) == 0 and waiting == 0


@contextmanager
def node_running(node: Node) -> Iterator[Node]:
    """Start a node and end it."""
    try:
        node.start()
        yield node
    finally:
        node.stop()
        node.close()


def dimse(name: str, pacs: Pacs, more: str = "") -> str:
    """The table of a destination that is an Orthanc, by C-STORE."""
    return (
        f'name = "{name}"\nkind = "dimse"\nhost = "127.0.0.1"\nport = {pacs.dicom_port}\n'
        f'ae_title = "{pacs.title}"\n{more}'
    )


def stow(name: str, pacs: Pacs, more: str = "") -> str:
    """The table of a destination that is an Orthanc, by STOW-RS."""
    return f'name = "{name}"\nkind = "stow"\nurl = "{pacs.url}/dicom-web"\n{more}'
