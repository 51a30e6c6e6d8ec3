"""Starting the HTTP service as `cxr serve` does: verify first, then hand over to BentoML."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from service.network.bundle import open_bundle
from service.settings import Settings, bundle_folder

SERVICE = "service:ChestRadiographs"


def launch(settings: Settings, host: str, port: int) -> None:
    """Replace this process with BentoML's server.

    Args:
        settings: What to serve; handed on in the environment.
        host: Address to listen on.
        port: TCP port.

    Raises:
        SetupFault: The bundle is not to be trusted; nothing was started.
    """
    bundle = open_bundle(bundle_folder(settings))
    manifest = bundle.manifest
    variant = manifest.variant(settings.runtime, settings.precision)
    for name, value in settings.model_dump(exclude_unset=True, mode="json").items():
        os.environ[f"CXR_{name.upper()}"] = str(value)
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    demo = " (demo weights, not for clinical use)" if manifest.weights.demo else ""
    address = f"http://{host}:{port}"
    click.echo(
        f"Serving {manifest.name} {manifest.version}{demo}, {variant.name}\n"
        f"  score:    curl -sf -F image=@FILE {address}/predict\n"
        f"  heat map: curl -sf -F image=@FILE {address}/gradcam -o gradcam_result.png\n"
        f"  ready:    curl -sf {address}/readyz",
    )
    bentoml = Path(sys.executable).with_name("bentoml")
    arguments = ["serve", SERVICE, "--host", host, "--port", str(port)]
    os.execv(bentoml, [str(bentoml), *arguments])  # noqa: S606 - our own interpreter's folder
