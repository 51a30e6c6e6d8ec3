"""The Kubernetes manifests as kubectl renders them, and their check.

    python -m bench.manifests        # make deploy-check: renders and validates everything

What reads numbers, commands or addresses of the deployment reads them from here, so that nothing
is written down twice.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
KUSTOMIZATIONS = (
    "base",
    "overlays/split",
    "overlays/keda",
    "overlays/monitoring",
    "overlays/canary",
    "kserve",
    "overlays/node",
)
OLDEST = (1, 30)
"""The oldest Kubernetes whose preStop has `sleep` switched on."""
CUSTOM = ("monitoring.coreos.com", "keda.sh", "serving.kserve.io")
"""Groups of the custom resources in use."""

Manifest = dict[str, Any]


@cache
def rendered(kustomization: str) -> tuple[Manifest, ...]:
    """Render a folder of deploy/ with kubectl's kustomize.

    Raises:
        subprocess.CalledProcessError: It does not render; kubectl says why on standard error.
    """
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run(
        [kubectl, "kustomize", DEPLOY / kustomization], check=True, stdout=subprocess.PIPE
    )
    return tuple(document for document in yaml.safe_load_all(done.stdout) if document)


def find(kustomization: str, kind: str, name: str) -> Manifest:
    """One object of a rendered folder.

    Raises:
        KeyError: There is none of that kind and name.
    """
    for manifest in rendered(kustomization):
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name):
            return manifest
    raise KeyError(f"{kustomization} has no {kind} {name}")


def container(kustomization: str, deployment: str) -> Manifest:
    """The container of a Deployment's pods."""
    pod = find(kustomization, "Deployment", deployment)["spec"]["template"]["spec"]
    (only,) = pod["containers"]
    return only


def environment(of: Manifest) -> dict[str, str]:
    """The environment that a container is given."""
    return {variable["name"]: variable["value"] for variable in of.get("env", ())}


def supported_versions() -> list[str]:
    """The versions of Kubernetes that manifests are validated against."""
    newest = tuple(int(part) for part in kubernetes_validate.latest_version().split(".")[:2])
    return [f"{OLDEST[0]}.{minor}" for minor in range(OLDEST[1], newest[1] + 1)]


def faults(kustomization: str, version: str) -> Iterator[str]:
    """What a version of Kubernetes has against a rendered folder.

    Custom resources are passed over: their schemas are their operators'. The pod of a runtime of
    KServe's is looked at as a pod.
    """
    manifests = rendered(kustomization)
    for manifest in (*manifests, *map(_pod, manifests)):
        if manifest is None:
            continue
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            if manifest["apiVersion"].partition("/")[0] not in CUSTOM:
                yield f"{name}: {manifest['apiVersion']} is not in Kubernetes {version}"
        except kubernetes_validate.ValidationError as fault:
            yield f"{name}: {fault.message}"


def _pod(manifest: Manifest) -> Manifest | None:
    """The pod that KServe makes of a ServingRuntime; None for anything else."""
    if manifest["kind"] != "ServingRuntime":
        return None
    spec = {part: manifest["spec"][part] for part in ("containers", "volumes")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": manifest["metadata"], "spec": spec}


def main() -> None:
    """Render and validate everything; exit status 1 where there is a fault."""
    found = 0
    versions = supported_versions()
    for kustomization in KUSTOMIZATIONS:
        here = [f"{v}: {fault}" for v in versions for fault in faults(kustomization, v)]
        found += len(here)
        objects = len(rendered(kustomization))
        against = f"Kubernetes {versions[0]} to {versions[-1]}"
        print(
            f"{kustomization}: {objects} objects, {against}, {len(here)} errors", *here, sep="\n  "
        )
    lint = Path(sys.executable).with_name("yamllint")
    config = DEPLOY / ".yamllint.yaml"
    style = [lint, "-c", config, DEPLOY, ROOT / "bentofile.yaml"]
    found += subprocess.run(style, check=False).returncode
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
