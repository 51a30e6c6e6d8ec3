"""API keys: which are accepted, and on which address a service without keys answers."""

import hashlib
import logging
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.errors import SettingRefused
from service.http.middleware.api_keys import ApiKeyRequired, ApiKeys, digest, is_loopback


def write(path, *lines: str):
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "keys", "# keys", "", f"{digest('one')}  first", digest("two").upper())


def test_what_is_kept_of_a_key_is_its_sha256():
    """A line of the file is what sha256sum makes of the key."""
    assert digest("key") == hashlib.sha256(b"key").hexdigest()


@pytest.mark.parametrize(
    ("key", "accepted"),
    [("one", True), ("two", True), ("three", False), ("", False), (digest("one"), False)],
    ids=["first", "second", "unknown", "empty", "a digest itself"],
)
def test_several_keys_are_good_at_once(file, key, accepted):
    """Every key whose digest is in the file is accepted, nothing else, the digest least."""
    assert ApiKeys(file).accepts(key) is accepted


def test_a_rewritten_file_counts_at_once(file):
    """A key that is added to the file is good and one that is taken out is not, without restart."""
    keys = ApiKeys(file)
    write(file, digest("three"))
    keys.refresh()
    assert [keys.accepts(key) for key in ("one", "three")] == [False, True]


RUINS = {
    "gone": (Path.unlink, "No such file or directory"),
    "empty": (write, "it holds no digest"),
    "mistyped": (lambda file: write(file, "two"), "line 1 is no SHA-256 digest of a key"),
}


def stale() -> float | None:
    return REGISTRY.get_sample_value("cxr_api_keys_stale")


@pytest.mark.parametrize(("ruin", "reason"), RUINS.values(), ids=list(RUINS))
async def test_a_ruined_file_changes_no_key_and_is_told(file, caplog, ruin, reason):
    """While the file cannot be used the keys known so far stay good and no other becomes so; it is
    one error in the log, however many ask, and a gauge of 1 until a good file is back."""
    app = guarded(ApiKeys(file))
    caplog.set_level(logging.INFO, "cxr.keys")
    ruin(file)
    assert (await ask(app, "/metrics")).status_code == 200
    assert stale() == 1
    asked = [await ask(app, headers={"X-API-Key": key}) for key in ("one", "three") * 3]
    assert [answer.status_code for answer in asked] == [200, 401] * 3
    (line,) = caplog.records
    assert line.levelname == "ERROR"
    assert line.getMessage().startswith("CXR_API_KEYS_FILE: ")
    assert line.getMessage().endswith(f"{reason}; the keys known so far stay good")
    write(file, digest("three"))
    assert (await ask(app, headers={"X-API-Key": "three"})).status_code == 200
    assert stale() == 0
    assert [line.levelname for line in caplog.records] == ["ERROR", "INFO"]


def test_each_ruin_is_told(file, caplog):
    """A file that was ruined is looked at again when it is ruined otherwise."""
    keys = ApiKeys(file)
    for ruin, reason in RUINS.values():
        ruin(file)
        keys.refresh()
        assert reason in caplog.records[-1].getMessage()
    assert len(caplog.records) == len(RUINS)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["# nothing"], "it holds no digest"),
        ([digest("one"), "secret-key"], "line 2 is no SHA-256 digest of a key"),
        ([digest("one")[:-1]], "line 1 is no SHA-256 digest of a key"),
    ],
    ids=["empty", "a key itself", "too short"],
)
def test_a_bad_file_is_refused_at_the_start(tmp_path, lines, reason):
    """A file without digests, or with a line that is none, is refused; the line is not repeated."""
    with pytest.raises(SettingRefused) as refused:
        ApiKeys(write(tmp_path / "keys", *lines))
    assert refused.value.message == f"CXR_API_KEYS_FILE: {reason}"


def test_a_missing_file_is_refused_at_the_start(tmp_path):
    """A file of keys that is not there is refused by the setting's name."""
    with pytest.raises(SettingRefused, match=r"CXR_API_KEYS_FILE: .*No such file"):
        ApiKeys(tmp_path / "none")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    """A binary file is no file of keys."""
    (tmp_path / "keys").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingRefused, match="cannot be read"):
        ApiKeys(tmp_path / "keys")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.0.0.7", False),
        ("::", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback_addresses(host, loopback):
    """Only addresses that nothing but this machine reaches are loopback."""
    assert is_loopback(host) is loopback


async def ask(app, path="/predict", server="127.0.0.1", headers=None) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{server}:3000") as client:
        return await client.get(path, headers=headers)


def guarded(keys, *, allow_anonymous: bool = False) -> ApiKeyRequired:
    async def fine(_):
        return PlainTextResponse("fine")

    app = Starlette(routes=[Route(path, fine) for path in ("/predict", "/readyz", "/metrics")])
    return ApiKeyRequired(app, keys, allow_anonymous)


@pytest.mark.parametrize("header", [{}, {"x-api-key": "three"}], ids=["none", "unknown"])
async def test_without_a_known_key_nothing_is_served(file, header):
    """No key or an unknown one is 401 in the one error shape, even on loopback."""
    answer = await ask(guarded(ApiKeys(file)), headers=header)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "ApiKey")
    assert answer.json()["error"]["code"] == "unauthorised"


async def test_a_known_key_is_served(file):
    """A known key in X-API-Key opens the service."""
    assert (await ask(guarded(ApiKeys(file)), headers={"X-API-Key": "two"})).text == "fine"


@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
async def test_probes_need_no_key(file, path):
    """Machines that ask whether the service is well have no key."""
    assert (await ask(guarded(ApiKeys(file)), path)).text == "fine"


@pytest.mark.parametrize(
    ("server", "anonymous", "status"),
    [("127.0.0.1", False, 200), ("10.0.0.7", False, 401), ("10.0.0.7", True, 200)],
    ids=["loopback", "outside", "outside, waived"],
)
async def test_a_service_without_keys_serves_its_own_machine(server, anonymous, status):
    """Without keys an outside address answers nobody, unless that is waived."""
    answer = await ask(guarded(None, allow_anonymous=anonymous), server=server)
    assert answer.status_code == status


@pytest.mark.parametrize(
    "header",
    [
        "Forwarded: for=192.0.2.60",
        "X-Forwarded-For: 192.0.2.60",
        "X-Real-IP: 192.0.2.60",
        "Via: 1.1 p",
    ],
)
@pytest.mark.parametrize(
    ("anonymous", "status"), [(False, 401), (True, 200)], ids=["guarded", "waived"]
)
async def test_without_keys_a_proxy_on_the_same_machine_is_refused(header, anonymous, status):
    """Without keys a request that another machine sent through a local proxy is 401 and says how to
    serve it, unless that is waived."""
    name, _, value = header.partition(": ")
    answer = await ask(guarded(None, allow_anonymous=anonymous), headers={name: value})
    assert answer.status_code == status
    if status == 401:
        message = answer.json()["error"]["message"]
        assert message == (
            "This service has no API keys and answers its own machine only, and a proxy sent this "
            f"request for another (header {name}): set CXR_API_KEYS_FILE, or "
            "CXR_ALLOW_ANONYMOUS=true."
        )


@pytest.mark.parametrize("keyed", [True, False], ids=["with keys", "a probe"])
async def test_a_proxy_passes_with_a_key_and_to_probes(file, keyed):
    """Behind a proxy a known key is as good as without one, and probes are answered to anybody."""
    headers = {"X-Forwarded-For": "192.0.2.60"}
    if keyed:
        answer = await ask(guarded(ApiKeys(file)), headers=headers | {"X-API-Key": "one"})
    else:
        answer = await ask(guarded(None), "/readyz", headers=headers)
    assert answer.text == "fine"
