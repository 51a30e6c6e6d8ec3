"""API keys: which are accepted, and on which address a service without keys answers."""

import hashlib

import httpx
import pytest
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
    assert [keys.accepts(key) for key in ("one", "three")] == [False, True]


@pytest.mark.parametrize("ruin", ["gone", "no digests"])
def test_a_ruined_file_changes_nothing(file, ruin):
    """While the file cannot be read the keys known so far stay good and no other becomes so."""
    keys = ApiKeys(file)
    if ruin == "gone":
        file.unlink()
    else:
        write(file, "not a digest")
    assert [keys.accepts(key) for key in ("one", "three")] == [True, False]


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
