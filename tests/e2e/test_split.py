"""Prediction and explanation apart, as the overlay `split` has them: the service's own tests."""

import httpx
import psutil
import pytest
import yaml
from pods import KEY, image_environment, pod, wait_for_start
from test_served import *  # noqa: F403 - every test of the service, with the fixtures below

from export.bento import write_context

PICKLE = {"content-type": "application/vnd.bentoml+pickle", "x-api-key": KEY}


@pytest.fixture(scope="module")
def topology(image_context, keys):
    """A gateway's pod and an explainer's pod."""
    with pod("overlays/split", "cxr-explainer", image_context, keys, {}) as explainer:
        services = {"cxr-explainer": httpx.URL(explainer.url).host}
        with pod("overlays/split", "cxr", image_context, keys, services) as gateway:
            wait_for_start(gateway)
            wait_for_start(explainer)
            yield gateway, explainer


@pytest.fixture(scope="module")
def served(topology):
    return topology[0]


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served.url, timeout=60, headers={"x-api-key": KEY}) as client:
        yield client


@pytest.fixture(scope="module")
def explainer(topology):
    return topology[1]


def test_every_probe_of_both_pods_passes(topology):
    """Startup, readiness and liveness of the manifests are answered."""
    for running in topology:
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert running.probe(kind), kind


def test_the_gateway_starts_no_explainer_of_its_own(served):
    """With an explainer elsewhere nothing of the gateway loads PyTorch."""
    commands = [" ".join(process.cmdline()) for process in served.tree()]
    assert [command for command in commands if "--service-name explainer" in command] == []
    loaded = [map_.path for process in served.tree() for map_ in process.memory_maps()]
    assert [path for path in loaded if "libtorch" in path] == []


def test_a_pod_listens_on_its_ports_only(topology):
    """The ports that its manifest names, and no other."""
    for running in topology:
        url = httpx.URL(running.url)
        listening = {
            (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
            for process in running.tree()
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.laddr.ip != "127.0.0.1"  # circus's own control sockets
        }
        named = {port["containerPort"] for port in running.spec["ports"]}
        assert listening == {(url.host, port) for port in named}


def test_nothing_goes_out_but_to_the_explainer(served, explainer, client, phantom_png):
    """After predictions and heat maps the gateway has called nobody but the explainer."""
    for path in ("/predict", "/gradcam"):
        client.post(path, files={"image": phantom_png(11)}).raise_for_status()
    allowed = {httpx.URL(served.url).host, httpx.URL(explainer.url).host, "127.0.0.1"}
    called = {
        connection.raddr.ip
        for running in (served, explainer)
        for process in running.tree()
        for connection in process.net_connections("inet")
        if connection.raddr
    }
    assert called - allowed <= {"127.0.0.1"}


@pytest.mark.parametrize("path", ["/gradcam", "/explain"])
def test_the_explainer_answers_nobody_without_a_key(explainer, phantom_png, path):
    """Who gets past the network policy still needs a key."""
    answer = httpx.post(f"{explainer.url}{path}", files={"image": phantom_png(11)})
    assert answer.status_code == 401


def test_the_explainer_unpickles_nothing(explainer):
    """An entry service refuses the pickles that a dependency's port would load."""
    answer = httpx.post(f"{explainer.url}/gradcam", content=b"cos\nsystem\n.", headers=PICKLE)
    assert answer.status_code == 415


def test_the_explainer_predicts_nothing(explainer):
    """What belongs to the gateway is not there."""
    answer = httpx.post(f"{explainer.url}/predict", headers={"x-api-key": KEY})
    assert answer.status_code == 404


def test_the_image_runs_the_bundle_that_it_was_built_with(image_context, client, demo_bundle):
    """The bundle in the environment of the image is the pinned one, byte for byte."""
    folder = image_environment(image_context)["CXR_BUNDLE"]
    inside = image_context / folder.removeprefix("/home/bentoml/bento/")
    for path in demo_bundle.iterdir():
        assert (inside / path.name).read_bytes() == path.read_bytes()


def test_only_what_serves_is_in_the_image(image_context):
    """Neither export code, nor benchmarks, nor tests, nor a checkpoint."""
    names = {path.name for path in (image_context / "src").iterdir()}
    assert names == {"service", "LICENSE", "sbom.cdx.json", "bentofile.yaml"}
    inside = {path.name for path in image_context.rglob("*")}
    assert not inside & {"export", "bench", "tests", "demo.safetensors", "__pycache__"}


def test_a_folder_of_wheels_is_where_the_image_looks_for_it(image_context, tmp_path):
    """Wheels, and nothing else of their folder, go into the context beside the requirements."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("a-1-py3-none-any.whl", "notes.txt"):
        (wheels / name).touch()
    bento = yaml.safe_load((image_context / "bento.yaml").read_text())
    write_context(f"{bento['name']}:{bento['version']}", tmp_path / "context", wheels)
    python = tmp_path / "context/env/python"
    assert [path.name for path in (python / "wheels").iterdir()] == ["a-1-py3-none-any.whl"]
    assert (python / "requirements.txt").is_file()
    assert list((image_context / "env/python").rglob("*.whl")) == []
