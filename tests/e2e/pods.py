"""Pods of the rendered manifests as processes of this machine.

A pod is its container's own arguments, environment, port and probes, on a loopback address of its
own, run by the image's entrypoint in the image's build context. Only what a node would provide is
put in its place: the image's paths, the mounted folder of keys, and the names of Services.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from bench.manifests import Manifest, container, environment

KEY = "a key of the tests"


@dataclass(frozen=True)
class Pod:
    """A running container."""

    url: str
    process: subprocess.Popen
    log: Path
    spec: Manifest

    def tree(self) -> list[psutil.Process]:
        """Its processes."""
        return [p := psutil.Process(self.process.pid), *p.children(recursive=True)]

    def probe(self, kind: str) -> bool:
        """Ask one of its probes once."""
        probe = self.spec[kind]
        try:
            path, wait = probe["httpGet"]["path"], probe["timeoutSeconds"]
            return httpx.get(f"{self.url}{path}", timeout=wait).is_success
        except httpx.TransportError:
            return False

    def terminate(self) -> None:
        """What the node sends once preStop is over."""
        self.process.send_signal(signal.SIGTERM)


def build_context(bundle: Path, folder: Path) -> Path:
    """Build a bento and its image's context as `make context` does."""
    context = folder / "context"
    options = ["--bundle", bundle, "--work", folder / "work", "--context", context]
    subprocess.run([sys.executable, "-m", "export.bento", *options], check=True, timeout=120)
    return context


def image_environment(context: Path) -> dict[str, str]:
    """The ENV of an image's Dockerfile."""
    (block,) = re.findall(r"^ENV (.*?[^\\])$", (context / "Dockerfile").read_text(), re.M | re.S)
    return dict(re.findall(r'([A-Z_]+)="?([^\s"\\]+)', block))


@contextmanager
def pod(
    overlay: str, deployment: str, context: Path, keys: Path, services: dict[str, str]
) -> Iterator[Pod]:
    """Start a Deployment's container; what it yields has been started, not waited for.

    Args:
        overlay: Folder of deploy/ that is rendered.
        deployment: Name of the Deployment in it.
        context: The image's build context.
        keys: File that stands in for the secret's, in a folder that is mounted.
        services: Loopback addresses in place of the Services' names.
    """
    spec = container(overlay, deployment)
    port = next(port for port in spec["ports"] if port["name"] == "http")
    with tempfile.TemporaryDirectory(prefix="cxr-") as tmp:
        log = Path(tmp, "log")
        address = free_address(port["containerPort"])
        given = image_environment(context) | environment(spec)
        places = {
            "/home/bentoml/bento": str(context),
            "/tmp": tmp,
            "/etc/cxr/keys": str(keys.parent),
        }
        places |= {f"http://{name}": f"http://{where}" for name, where in services.items()}
        for name, value in given.items():
            before, after = next((p for p in places.items() if value.startswith(p[0])), ("", ""))
            given[name] = after + value.removeprefix(before)
        given |= {"BENTOML_HOST": address, "CXR_GRPC_HOST": address, "TMPDIR": tmp}
        # Where a machine names the kernels of matrix products, its pods have to have the same, or
        # the pixels that they resize differ from ours in the last digit.
        given |= {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
        given["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        entrypoint = Path(tmp, "entrypoint.sh")
        original = Path(context, "env/docker/entrypoint.sh").read_text()
        # It looks for an environment in the image's /app, and would find this machine's there.
        entrypoint.write_text(original.replace("/app/", f"{tmp}/app/"))
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", entrypoint, *spec["args"]],
                cwd=context / "src",
                env=given,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running = Pod(f"http://{address}:{port['containerPort']}", process, log, spec)
        try:
            yield running
        finally:
            left = running.tree() if process.poll() is None else []
            running.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
            for child in left:
                if child.is_running():
                    child.kill()


def free_address(port: int) -> str:
    """A loopback address on which nobody listens at a port: each pod has its own."""
    taken = {
        connection.laddr.ip
        for connection in psutil.net_connections("tcp4")
        if connection.laddr.port == port and connection.status == psutil.CONN_LISTEN
    }
    own = os.getpid() % 250 + 1
    addresses = (f"127.{own}.{time.monotonic_ns() % 250 + 1}.{last}" for last in range(1, 255))
    return next(address for address in addresses if address not in taken)


def wait_for_start(running: Pod) -> None:
    """Wait as long as the startup probe allows."""
    probe = running.spec["startupProbe"]
    deadline = time.monotonic() + probe["periodSeconds"] * probe["failureThreshold"]
    while not running.probe("startupProbe"):
        assert running.process.poll() is None, running.log.read_text()
        assert time.monotonic() < deadline, running.log.read_text()
        time.sleep(0.1)
