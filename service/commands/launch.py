"""Starting the HTTP service: verify the bundle, then exec BentoML."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from service.errors import SettingRefused
from service.http.middleware.api_keys import HEADER, ApiKeys
from service.network.bundle import Manifest, open_bundle
from service.network.site import open_site
from service.serving.monitoring_log import require_usable
from service.serving.shadow import load_shadow
from service.settings import Settings, bundle_folder, shadow_folder

SERVICE = "service:ChestRadiographs"
_CURL = "curl --fail-with-body -sS"
"""Prints the message of an error answer and ends with its own exit status; `-f` hides both."""


def launch(settings: Settings, host: str, port: int) -> None:
    """Replace this process with BentoML's server.

    Args:
        settings: What to serve; handed on in the environment.
        host: IP address to listen on.
        port: TCP port.

    Raises:
        SetupFault: The file of keys, the address, the bundle, the site file or the shadow
            cannot be used; nothing was started or changed.
    """
    if settings.api_keys_file:
        ApiKeys(settings.api_keys_file)
    _require_free(host, port)
    if (grpc_port := settings.grpc_port) is not None:
        if "grpc_host" not in settings.model_fields_set:
            settings = settings.model_copy(update={"grpc_host": host})
        _require_grpc(settings.grpc_host, grpc_port)
    folder = bundle_folder(settings)
    manifest = open_bundle(folder).manifest
    if settings.site:
        open_site(settings.site, manifest)
    if settings.monitoring_log:
        require_usable(settings.monitoring_log)
    load_shadow(settings, manifest)
    manifest.variant(settings.runtime, settings.precision)  # refuses what the bundle does not have
    for name, value in settings.model_dump(exclude_unset=True, mode="json").items():
        os.environ[f"CXR_{name.upper()}"] = str(value)
    os.environ["CXR_BUNDLE"] = str(folder)
    if shadow := shadow_folder(settings):
        os.environ["CXR_SHADOW"] = str(shadow)
    os.environ["BENTOML_HOME"] = str(_own_home(host, port))
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    keys = settings.api_keys_file is not None
    click.echo(banner(manifest, host, port, keys))
    bentoml = Path(sys.executable).with_name("bentoml")
    arguments = ["serve", SERVICE, "--host", host, "--port", str(port)]
    os.execv(bentoml, [str(bentoml), *arguments])  # noqa: S606 - our own interpreter's folder


def _require_grpc(host: str, port: int) -> None:
    """Refuse to serve gRPC where it is not installed or cannot listen.

    Raises:
        SettingRefused: The message says which.
    """
    if find_spec("grpc_reflection") is None:
        raise SettingRefused(
            "CXR_GRPC_PORT: gRPC is not installed; `pip install 'cxr-pneumonia[grpc]'` does it"
        )
    _require_free(host, port)


def _require_free(host: str, port: int) -> None:
    """Refuse an address at which nothing can listen, as another service does there already.

    Raises:
        SettingRefused: The message has the address and the system's reason.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As the server does: connections that were closed a moment ago do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingRefused(
                f"cannot listen on {host}, port {port}: {error.strerror}; --port, --grpc-port "
                "and --host name another"
            ) from error


def _own_home(host: str, port: int) -> Path:
    """BENTOML_HOME of the service at one address.

    The server empties its folder of metrics when it starts, so no two may share one.
    """
    home = os.environ.get("BENTOML_HOME") or "~/bentoml"  # as BentoML has it
    address = f"{host.replace(':', '_')}-{port}"
    return Path(os.path.expandvars(home)).expanduser() / "served" / address


def banner(manifest: Manifest, host: str, port: int, keys: bool) -> str:
    """What a user needs to know to use the service, its first commands among it."""
    reached = ipaddress.ip_address(host)
    if reached.is_unspecified:
        reached = ipaddress.ip_address("::1" if reached.version == 6 else "127.0.0.1")
    url = f"http://[{reached}]:{port}" if reached.version == 6 else f"http://{reached}:{port}"
    curl = f"{_CURL} -H '{HEADER}: KEY'" if keys else _CURL
    demo = " (demo weights, not for clinical use)" if manifest.weights.demo else ""
    result = "gradcam_result.png"
    return (
        f"Serving {manifest.name} {manifest.version}{demo}\n"
        f"  page:     {url}/\n"
        f"  API:      {url}/docs.json (OpenAPI)\n"
        f"  score:    {curl} -F image=@FILE {url}/predict\n"
        f"  heat map: {curl} -F image=@FILE {url}/gradcam -o {result} || cat {result}\n"
        f"  ready:    {_CURL} {url}/readyz"
    )
