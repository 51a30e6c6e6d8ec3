"""API keys over HTTP."""

import httpx
import pytest
from served import serving

from service.http.middleware.api_keys import digest


@pytest.fixture(scope="module")
def guarded(demo_bundle, tmp_path_factory):
    """A service with a file of two keys; yields it and the file."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = folder / "keys"
    keys.write_text(f"{digest('first')}\n{digest('second')}\n")
    with serving(demo_bundle, folder, "first", CXR_API_KEYS_FILE=str(keys)) as served:
        yield served, keys


def ask(served, path, data, key=None) -> httpx.Response:
    headers = {} if key is None else {"X-API-Key": key}
    return httpx.post(f"{served.url}{path}", files={"image": data}, headers=headers, timeout=60)


@pytest.mark.parametrize("path", ["/predict", "/gradcam", "/predict_batch", "/nowhere"])
@pytest.mark.parametrize("key", [None, "third", digest("first")], ids=["none", "other", "digest"])
def test_nothing_is_answered_without_a_key(guarded, path, key):
    """Every path but probes and metrics wants a key, and says no more than that."""
    answer = ask(guarded[0], path, b"x", key)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthorised"
    assert answer.headers["www-authenticate"] == "ApiKey"


@pytest.mark.parametrize("path", ["/predict", "/gradcam"])
@pytest.mark.parametrize("key", ["first", "second"])
def test_each_key_opens_both_lanes(guarded, phantom_png, path, key):
    """Several keys are good at once, and the explainer is handed the key."""
    assert ask(guarded[0], path, phantom_png(1), key).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_probes_need_no_key(guarded, path):
    """Probes and metrics are answered to anybody."""
    assert httpx.get(f"{guarded[0].url}{path}").status_code == 200


def test_keys_are_rotated_by_rewriting_the_file(guarded, phantom_png):
    """A new key is good and an old one is not as soon as the file says so; no key is logged."""
    served, keys = guarded
    kept = keys.read_text()
    try:
        keys.write_text(f"{digest('second')}\n{digest('rotated-in')}\n")
        for key, status in (("first", 401), ("second", 200), ("rotated-in", 200)):
            for path in ("/predict", "/gradcam"):
                assert ask(served, path, phantom_png(1), key).status_code == status
    finally:
        keys.write_text(kept)
    assert "rotated-in" not in served.log.read_text()


def test_a_ruined_file_of_keys_is_seen_by_monitoring(guarded):
    """While the file is empty the old keys stay good and /metrics says so; then it does no more."""
    served, keys = guarded
    kept = keys.read_text()
    try:
        keys.write_text("")
        assert ask(served, "/predict", b"x", "second").status_code == 415
        assert "\ncxr_api_keys_stale 1.0\n" in httpx.get(f"{served.url}/metrics").text
    finally:
        keys.write_text(kept)
    assert "\ncxr_api_keys_stale 0.0\n" in httpx.get(f"{served.url}/metrics").text
