"""Starting the service, or refusing to."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from served import free_port, serving

BIN = Path(sys.executable).parent


@pytest.fixture
def damaged(demo_bundle, tmp_path) -> Path:
    """A bundle with one flipped byte in its graph."""
    copy = tmp_path / "bundle"
    shutil.copytree(demo_bundle, copy)
    graph = copy / "network.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    return copy


@pytest.mark.parametrize(
    "command",
    [["cxr", "serve"], ["bentoml", "serve", "service:ChestRadiographs"]],
    ids=["cxr", "bentoml"],
)
def test_a_damaged_bundle_ends_the_start(damaged, monkeypatch, command):
    """Both ways to start refuse a damaged bundle with an exit status and name the file."""
    monkeypatch.setenv("CXR_BUNDLE", str(damaged))
    program, *arguments = command
    done = subprocess.run(
        [BIN / program, *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1
    assert "network.onnx is not the file that was published" in done.stdout + done.stderr


def test_a_missing_bundle_says_how_to_make_one(monkeypatch, tmp_path):
    """Without a bundle the service does not start and says which command makes one."""
    monkeypatch.setenv("CXR_BUNDLE", str(tmp_path / "none"))
    done = subprocess.run(
        [BIN / "cxr", "serve"], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1
    assert "`cxr export --weights demo` makes the demo bundle" in done.stderr


def test_a_bad_setting_is_refused_by_its_key(monkeypatch):
    """A setting with a value that is not allowed ends the start and is named."""
    monkeypatch.setenv("CXR_THREADS", "many")
    done = subprocess.run(
        [BIN / "cxr", "serve"], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1
    assert "CXR_THREADS" in done.stderr


@pytest.mark.parametrize("host", ["example.org", "300.0.0.1", ""])
def test_a_host_is_an_ip_address(host):
    """A host that is no IP address is wrong usage: the server binds none by its name."""
    done = subprocess.run(
        [BIN / "cxr", "serve", "--host", host],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2
    assert f"{host!r} is no IP address, such as 127.0.0.1 or 0.0.0.0" in done.stderr


def decisions(url: str) -> list[str]:
    """The metrics that count what was decided."""
    text = httpx.get(f"{url}/metrics").text
    return [line for line in text.splitlines() if line.startswith("cxr_decisions_total")]


@pytest.fixture
def counted(served, client, phantom_png) -> list[str]:
    """The metrics of a service that has made a decision."""
    assert client.post("/predict", files={"image": phantom_png(1)}).status_code == 200
    lines = decisions(served.url)
    assert lines
    return lines


@pytest.mark.parametrize(
    ("arguments", "keys", "reason"),
    [
        ([], None, "cannot listen on 127.0.0.1, port {port}: Address already in use"),
        (["--port", "{free}"], "", "CXR_API_KEYS_FILE: it holds no digest"),
        (["--port", "{free}"], "secret", "CXR_API_KEYS_FILE: line 1 is no SHA-256 digest"),
        (
            ["--port", "{free}", "--grpc-port", "{port}"],
            None,
            "cannot listen on 127.0.0.1, port {port}: Address already in use",
        ),
        (["--host", "192.0.2.1"], None, "cannot listen on 192.0.2.1, port {port}: Cannot assign"),
    ],
    ids=[
        "taken port",
        "empty file of keys",
        "bad file of keys",
        "taken port of gRPC",
        "another machine's address",
    ],
)
def test_a_start_that_cannot_succeed_is_one_line_and_touches_nothing(
    served, counted, demo_bundle, tmp_path, arguments, keys, reason
):
    """A taken port or a bad file of keys ends the start with one line and status 1, and the
    service that runs with the same BENTOML_HOME keeps its metrics."""
    port = served.url.rpartition(":")[2]
    environment = {
        "BENTOML_HOME": str(served.log.parent / "bentoml"),
        "CXR_BUNDLE": str(demo_bundle),
    }
    if keys is not None:
        (tmp_path / "keys").write_text(keys)
        environment["CXR_API_KEYS_FILE"] = str(tmp_path / "keys")
    given = [part.format(free=free_port(), port=port) for part in arguments]
    done = subprocess.run(
        [BIN / "cxr", "serve", "--port", port, *given],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"cxr: {reason.format(port=port)}")
    assert decisions(served.url) == counted


def test_another_port_leaves_the_metrics_of_a_service_alone(
    served, counted, demo_bundle, tmp_path, phantom_png
):
    """Two services with one BENTOML_HOME each count their own; a misspelt setting is logged by
    the one that has it."""
    home = str(served.log.parent / "bentoml")
    with serving(demo_bundle, tmp_path, BENTOML_HOME=home, CXR_THREDS="1") as second:
        assert decisions(second.url) == []
        answer = httpx.post(f"{second.url}/predict", files={"image": phantom_png(1)}, timeout=60)
        assert answer.status_code == 200
        assert len(decisions(second.url)) == 1
        log = second.log.read_text()
    assert decisions(served.url) == counted
    logged = [line for line in log.splitlines() if line.startswith("{") and "CXR_THREDS" in line]
    (line,) = logged
    assert "did you mean CXR_THREADS?" in line


def test_a_start_reports_no_variable_of_the_service_itself(served):
    """What the supervising process sets for its workers is not taken for a misspelt setting."""
    assert "is no setting" not in served.log.read_text()


def test_the_banner_names_the_page_and_the_api(served, client):
    """What is printed at the start leads to the page and to the description of the API."""
    banner = served.output.read_text()
    page, api = re.findall(r"  (?:page|API): +(\S+)", banner)
    assert (page, api) == (f"{served.url}/", f"{served.url}/docs.json")
    assert client.get(page).headers["content-type"].startswith("text/html")
    assert client.get(api).json()["openapi"] == "3.1.0"


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("purpose", ["score", "heat map"])
def test_the_banners_commands_show_why_a_file_was_refused(served, tmp_path, purpose):
    """A command of the banner prints the message of an error answer and ends with a failure, or
    with what shows the message."""
    (tmp_path / "notes.txt").write_text("no image")
    command = re.search(rf"  {purpose}: +(curl .*)", served.output.read_text()).group(1)
    done = subprocess.run(
        command.replace("@FILE", f"@{shlex.quote(str(tmp_path / 'notes.txt'))}"),
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert '"code":"not_an_image"' in done.stdout.replace(": ", ":")
    assert "The requested URL returned error: 415" in done.stderr


def test_docs_leads_to_the_description_of_the_api(client):
    """GET /docs, where many look first, leads to the OpenAPI document."""
    led = client.get("/docs", follow_redirects=True)
    assert led.status_code == 200
    assert led.url.path == "/docs.json"
    assert led.json()["openapi"] == "3.1.0"
