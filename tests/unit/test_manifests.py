"""The Kubernetes manifests, as kubectl renders them."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import prometheus_client
import pytest
import yaml
from pydicom.uid import JPEG2000Lossless

import service.metrics  # registers the metrics that the rules may name
import service.node.metrics
from bench.large_images import ALL_IN_ONE, EXPLAINER_POD, GATEWAY
from bench.manifests import (
    DEPLOY,
    KUSTOMIZATIONS,
    ROOT,
    container,
    environment,
    faults,
    find,
    rendered,
    supported_versions,
)
from export.bento import BASE_IMAGE
from export.monitoring import textfile
from service.explain.explainer import FIRST_USE
from service.explain.replies import BESIDE_CAPTURE
from service.http import page_files
from service.http.middleware.api_keys import OPEN_PATHS
from service.http.openapi import document
from service.inference_protocol.image_model import NAME as IMAGE_MODEL
from service.node.config import read_config
from service.node.queue import Queue
from service.radiograph.memory_budget import AROUND
from service.radiograph.peak_memory import dicom_peak
from service.radiograph.reader import RESERVE
from service.settings import Settings, read_settings

PODS = [("base", "cxr"), ("overlays/split", "cxr"), ("overlays/split", "cxr-explainer")]
ARCH = (("resources", "overlays/node"), ("components", "components/amd64"))
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
BIN = Path(sys.executable).parent

PIXELS = Settings().max_pixels


@dataclass(frozen=True)
class Part:
    """A process of a pod, in bytes: what it was measured to hold when it had started, in float32
    where that is more; what it keeps in reserve; and what its largest image takes."""

    warm: int
    reserve: int
    largest: int


pods = pytest.mark.parametrize(("overlay", "name"), PODS, ids=["whole", "gateway", "explainer"])


@pytest.mark.parametrize("version", [supported_versions()[0], supported_versions()[-1]])
@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_manifests_are_valid(kustomization, version):
    """Every folder renders, and the oldest and the newest Kubernetes accept all of it."""
    assert list(faults(kustomization, version)) == []


def test_a_misspelt_field_is_a_fault():
    """The check sees a field that Kubernetes does not know."""
    pod = container("base", "cxr")
    pod["readynessProbe"] = pod["readinessProbe"]
    try:
        (fault,) = faults("base", supported_versions()[-1])
    finally:
        del pod["readynessProbe"]
    assert "readynessProbe" in fault


def test_yaml_is_clean():
    """Manifests and bentofile.yaml follow one style."""
    files = ["-c", DEPLOY / ".yamllint.yaml", DEPLOY, ROOT / "bentofile.yaml"]
    done = subprocess.run(
        [BIN / "yamllint", "-s", *files], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


def test_the_dockerfile_is_clean():
    """hadolint has nothing against the Dockerfile."""
    template = (DEPLOY / "image" / "Dockerfile.j2").read_text()
    text = template.replace("{{ __base_image__ }}", BASE_IMAGE)
    done = subprocess.run(
        [BIN / "hadolint", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0)


@pods
def test_settings_in_the_environment_exist_and_are_allowed(overlay, name):
    """Every CXR_ variable of a pod is a setting of the service, with a value that it takes."""
    given = environment(container(overlay, name))
    names = {word.removeprefix("CXR_").lower(): value for word, value in given.items()}
    assert set(names) <= set(Settings.model_fields)
    read_settings(**names)


@pods
def test_probes_ask_open_paths_on_the_port_that_is_served(overlay, name):
    """Start and readiness ask /readyz, liveness /livez, on the port that is BentoML's default;
    pods that predict have the port of gRPC too."""
    pod = container(overlay, name)
    ports = {port["name"]: port["containerPort"] for port in pod["ports"]}
    grpc_port = environment(pod).get("CXR_GRPC_PORT")
    assert ports == {"http": 3000} | ({"grpc": int(grpc_port)} if grpc_port else {})
    assert bool(grpc_port) == (name == "cxr")
    asked = {probe: pod[probe]["httpGet"] for probe in PROBES}
    assert [asked[probe]["path"] for probe in PROBES] == ["/readyz", "/readyz", "/livez"]
    assert {get["port"] for get in asked.values()} == {"http"}


@pods
def test_a_pod_has_the_time_that_draining_takes(overlay, name):
    """The grace period covers preStop, the longest deadline and the drain, one after the other."""
    pod = container(overlay, name)
    settings = environment(pod)
    spec = find(overlay, "Deployment", name)["spec"]["template"]["spec"]
    deadlines = [float(settings[key]) for key in settings if key.endswith("DEADLINE_SECONDS")]
    needed = pod["lifecycle"]["preStop"]["sleep"]["seconds"] + max(deadlines)
    needed += float(settings["CXR_DRAIN_SECONDS"])
    assert spec["terminationGracePeriodSeconds"] > needed
    live = pod["livenessProbe"]
    assert live["periodSeconds"] * live["failureThreshold"] > float(settings["CXR_STALL_SECONDS"])


@pods
def test_a_pod_asks_for_no_right_that_it_does_not_need(overlay, name):
    """Not root, nothing writable but /tmp, no capability, no token of the cluster."""
    pod = container(overlay, name)
    spec = find(overlay, "Deployment", name)["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    writable = [m["mountPath"] for m in pod["volumeMounts"] if not m.get("readOnly")]
    assert writable == ["/tmp"]


def test_threads_are_as_many_as_the_cpus_requested():
    """Neither does a runtime take cores that were not requested, nor leave some idle."""
    for overlay, name, key in [
        ("base", "cxr", "CXR_THREADS"),
        ("overlays/split", "cxr", "CXR_THREADS"),
        ("overlays/split", "cxr-explainer", "CXR_EXPLAIN_THREADS"),
    ]:
        pod = container(overlay, name)
        assert environment(pod)[key] == pod["resources"]["requests"]["cpu"]


MIB = 1 << 20
SUPERVISOR = 115 * MIB
PREDICTOR = Part(830 * MIB, RESERVE, dicom_peak(1, PIXELS, 1, 16, JPEG2000Lossless, 2 * PIXELS))
EXPLAINER = Part(410 * MIB, RESERVE + FIRST_USE, (2 + BESIDE_CAPTURE) * PIXELS)


@pytest.mark.parametrize(
    ("pod", "parts"),
    [
        (ALL_IN_ONE, [PREDICTOR, EXPLAINER]),
        (GATEWAY, [PREDICTOR]),
        (EXPLAINER_POD, [EXPLAINER]),
    ],
    ids=["whole", "gateway", "explainer"],
)
def test_the_largest_image_fits_the_memory_limit(pod, parts):
    """Each process has room for an image of CXR_MAX_PIXELS beside all else that it holds."""
    each = (pod.limit - SUPERVISOR) // len(parts) - int(pod.environment["CXR_MAX_HELD_BYTES"])
    for part in parts:
        assert part.largest + AROUND <= each - part.warm - part.reserve


def test_the_gateway_finds_the_explainer_by_its_service():
    """CXR_EXPLAINER_URL names a Service whose selector and port are the explainer's."""
    url = environment(container("overlays/split", "cxr"))["CXR_EXPLAINER_URL"]
    name, port = re.fullmatch(r"http://([a-z-]+):(\d+)", url).groups()
    spec = find("overlays/split", "Service", name)["spec"]
    assert [str(entry["port"]) for entry in spec["ports"]] == [port]
    labels = find("overlays/split", "Deployment", "cxr-explainer")["spec"]["template"]["metadata"]
    assert spec["selector"].items() <= labels["labels"].items()


def test_only_the_gateway_and_prometheus_reach_the_explainer():
    """Everything is forbidden first; the explainer is let out nowhere."""
    deny = find("overlays/split", "NetworkPolicy", "deny-all")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    explainer = find("overlays/split", "NetworkPolicy", "explainer")["spec"]
    assert "egress" not in explainer
    (rule,) = explainer["ingress"]
    gateway, prometheus = rule["from"]
    labels = find("overlays/split", "Deployment", "cxr")["spec"]["template"]["metadata"]["labels"]
    assert gateway["podSelector"]["matchLabels"].items() <= labels.items()
    assert set(gateway) == {"podSelector"}
    assert prometheus == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    }


def test_the_ingress_publishes_the_served_paths_and_nothing_open():
    """What is served is published, and no path that is answered without a key."""
    (rule,) = find("base", "Ingress", "cxr")["spec"]["rules"]
    paths = {entry["path"]: entry["pathType"] for entry in rule["http"]["paths"]}
    documented = set(document("0", ("Pneumonia",))["paths"]) - OPEN_PATHS
    assert paths.pop("/page/") == "Prefix"
    assert (paths.pop("/v2"), paths.pop("/v2/models/")) == ("Exact", "Prefix")
    assert {path for path in page_files.PATHS if not path.startswith("/page/")} == {"/"}
    assert set(paths) == {"/", "/docs.json", "/about.json"} | documented
    assert set(paths.values()) == {"Exact"}
    assert not set(paths) & OPEN_PATHS


def test_the_ingress_allows_what_the_service_allows():
    """Body limit of ingress and service are one; its timeout is longer than every deadline."""
    notes = find("base", "Ingress", "cxr")["metadata"]["annotations"]
    settings = environment(container("base", "cxr"))
    limit = notes["nginx.ingress.kubernetes.io/proxy-body-size"]
    assert int(limit.removesuffix("m")) << 20 == int(settings["CXR_MAX_BYTES"])
    wait = int(notes["nginx.ingress.kubernetes.io/proxy-read-timeout"])
    assert wait > int(settings["CXR_EXPLAIN_DEADLINE_SECONDS"])
    assert wait > int(settings["CXR_DEADLINE_SECONDS"])


def known_series(tmp_path_factory) -> dict[str, set[str]]:
    """Every series of ours, those of `cxr watch` among them, and the labels it has."""
    found = {}
    for registry in (prometheus_client.REGISTRY, textfile.REGISTRY):
        for metric, names in registry._collector_to_names.items():
            found |= {name: set(metric._labelnames) for name in names if name.startswith("cxr_")}
    for metric in (service.node.metrics.RECEIVED, service.node.metrics.REJECTED):
        found[f"{metric._name}_total"] = set(metric._labelnames)
    queue = Queue(tmp_path_factory.mktemp("queue"))
    for gauge in service.node.metrics.QueueMetrics(queue).collect():
        found[gauge.name] = set(gauge._labelnames)
    queue.close()
    return found


FOREIGN = {"namespace", "pod", "le"}


def named_series(text: str) -> set[tuple[str, frozenset[str]]]:
    """The series of ours that a text of queries names, each with the labels it selects by."""
    found = set()
    for name, labels in re.findall(r"\b(cxr_\w+_\w+)\b(?:\{([^}]*)\})?", text):
        found.add((name, frozenset(re.findall(r"(\w+)\s*=?[=~!]", labels or ""))))
    return found


def adapted() -> dict[str, str]:
    rules = yaml.safe_load((DEPLOY / "overlays/monitoring/adapter-rules.yaml").read_text())
    return {rule["name"]["as"]: rule["seriesQuery"] for rule in rules["rules"]}


@pytest.mark.parametrize("kustomization", ["overlays/monitoring", "overlays/keda"])
def test_rules_name_metrics_that_exist(kustomization, tmp_path_factory):
    """Alerts, dashboard and scaling ask for series and labels that the service has."""
    assert service.metrics.IN_FLIGHT
    text = json.dumps([m for m in rendered(kustomization) if m["kind"] != "Deployment"])
    asked = named_series(text.replace('\\\\\\"', '"').replace('\\"', '"'))
    known = known_series(tmp_path_factory)
    asked = {pair for pair in asked if pair[0] not in adapted()}
    assert {name for name, _ in asked} <= set(known)
    for name, labels in asked:
        assert labels - FOREIGN <= known[name], name
    assert len(asked) >= 2


def test_autoscalers_ask_for_metrics_that_the_adapter_makes():
    """Every metric of pods that an autoscaler reads is one of prometheus-adapter's rules."""
    asked = {
        metric["pods"]["metric"]["name"]
        for manifest in rendered("overlays/split")
        if manifest["kind"] == "HorizontalPodAutoscaler"
        for metric in manifest["spec"]["metrics"]
        if metric["type"] == "Pods"
    }
    assert asked == set(adapted())
    assert {name for query in adapted().values() for name, _ in named_series(query)} == {
        "cxr_in_flight"
    }


def test_alerts_name_error_codes_that_exist():
    """A code that an alert selects by is one that the service answers with."""
    source = "".join(path.read_text() for path in (ROOT / "service").rglob("*.py"))
    alerts = (DEPLOY / "overlays/monitoring/alerts.yaml").read_text()
    codes = {c for group in re.findall(r'code=~?"([^"]+)"', alerts) for c in group.split("|")}
    assert len(codes) == 7
    assert [code for code in codes if f'"{code}"' not in source] == []


def test_every_alert_is_in_the_runbook():
    """An alert links to its own section."""
    runbook = (DEPLOY / "RUNBOOK.md").read_text()
    (rules,) = [m for m in rendered("overlays/monitoring") if m["kind"] == "PrometheusRule"]
    for rule in rules["spec"]["groups"][0]["rules"]:
        anchor = rule["annotations"]["runbook"].partition("#")[2]
        assert anchor == rule["alert"].lower()
        assert f"### {rule['alert']}\n" in runbook


def test_a_runtime_of_kserve_is_the_pod_of_the_base():
    """Ports, keys, memory and threads are those of the Deployment; the service's name is the
    model's, and its bounds are the autoscaler's."""
    (runtime,) = find("kserve", "ServingRuntime", "cxr-pneumonia")["spec"]["containers"]
    base = container("base", "cxr")
    assert {port["containerPort"] for port in runtime["ports"]} == {3000, 8001}
    assert runtime["image"] == base["image"]
    assert environment(runtime).items() <= environment(base).items()
    for part in ("requests", "limits"):
        assert runtime["resources"][part]["memory"] == base["resources"][part]["memory"]
    for probe in PROBES:
        assert runtime[probe]["httpGet"]["path"] in OPEN_PATHS
    predictor = find("kserve", "InferenceService", IMAGE_MODEL)["spec"]["predictor"]
    scaling = find("base", "HorizontalPodAutoscaler", "cxr")["spec"]
    bounds = (scaling["minReplicas"], scaling["maxReplicas"])
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == bounds


def test_the_node_has_one_pod_with_a_volume_and_a_configuration_that_is_read(tmp_path):
    """The node's node.toml is valid, its ports are the pod's, and its queue is on the volume."""
    text = (DEPLOY / "overlays/node/node.toml").read_text()
    (tmp_path / "node.toml").write_text(text)
    node = read_config(tmp_path / "node.toml").node
    spec = find("overlays/node", "StatefulSet", "cxr-node")["spec"]
    (pod,) = spec["template"]["spec"]["containers"]
    assert spec["replicas"] == 1
    assert [port["containerPort"] for port in pod["ports"]] == [node.port, node.http_port]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["volumeMounts"]}
    assert mounts[str(node.queue)] == spec["volumeClaimTemplates"][0]["metadata"]["name"]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > 2 * node.drain_seconds


def test_keda_replaces_the_autoscalers():
    """No Deployment is scaled by two controllers, and both keep the same bounds and behaviour."""
    kinds = [manifest["kind"] for manifest in rendered("overlays/keda")]
    assert "HorizontalPodAutoscaler" not in kinds
    hpa = find("overlays/split", "HorizontalPodAutoscaler", "cxr")["spec"]
    keda = find("overlays/keda", "ScaledObject", "cxr")["spec"]
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (
        hpa["minReplicas"],
        hpa["maxReplicas"],
    )
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]


def test_a_canary_is_behind_the_same_service():
    """The canary's pods are the Service's, and are no pods of the stable Deployment."""
    stable = find("base", "Deployment", "cxr")["spec"]["selector"]["matchLabels"]
    canary = find("overlays/canary", "Deployment", "cxr-canary")["spec"]
    labels = canary["template"]["metadata"]["labels"]
    assert find("base", "Service", "cxr")["spec"]["selector"].items() <= labels.items()
    assert not stable.items() <= labels.items()
    assert canary["selector"]["matchLabels"].items() <= labels.items()


def test_the_lock_is_of_the_versions_that_the_project_pins():
    """The image has the very versions that the tests ran with, and no CUDA."""
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pins = [*project["dependencies"], *extras["explain"], *extras["grpc"]]

    pins = [*project["dependencies"], *project["optional-dependencies"]["explain"]]
    pins += project["optional-dependencies"]["node"]
    wanted = {pin.partition(";")[0].strip() for pin in pins if "< '3.11'" not in pin}
    locked = {
        line for line in (DEPLOY / "requirements.lock").read_text().splitlines() if line[0] != "#"
    }
    assert wanted <= locked, "run `make lock`"
    assert not [line for line in locked if line.startswith(("cuda-", "triton", "nvidia-cu"))]
    offline = ("torchvision", "torchxrayvision", "onnx==", "nncf", "safetensors", "scipy")
    assert not [line for line in locked if line.startswith(offline)]


def test_the_pods_of_a_mixed_cluster_can_be_kept_on_one_kind_of_processor(tmp_path):
    """With the component for amd64 every pod asks for such a node, the DICOM node's too."""
    lines = [f"{kind}: [{os.path.relpath(DEPLOY / folder, tmp_path)}]" for kind, folder in ARCH]
    (tmp_path / "kustomization.yaml").write_text("\n".join(lines))
    done = [one for one in rendered(tmp_path) if one["kind"] in ("Deployment", "StatefulSet")]
    found = {one["kind"]: one["spec"]["template"]["spec"]["nodeSelector"] for one in done}
    here = {"kubernetes.io/arch": "amd64"}
    assert found == {"Deployment": here, "StatefulSet": here}
