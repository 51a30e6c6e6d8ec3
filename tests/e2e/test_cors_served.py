"""Cross-origin requests, where the framework's configuration allows some origins."""

import base64
import http.server
import threading

import httpx
import pytest
from served import serving

from service.http.middleware.api_keys import digest

KEY = "first"
VIEWER = "https://viewer.example"

CONFIGURATION = """
services:
  cxr-pneumonia:
    http:
      cors:
        enabled: true
        access_control_allow_origins: ["{viewer}", "{page}"]
        access_control_allow_methods: [GET, POST]
        access_control_allow_headers: [X-API-Key]
        access_control_expose_headers: [X-Request-ID]
"""

PAGE = b"<!doctype html><title>viewer</title>"


@pytest.fixture(scope="module")
def page():
    """The address of a page of another origin."""

    class Viewer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Viewer)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def shared(demo_bundle, tmp_path_factory, page):
    """A service that wants a key and allows two other origins."""
    folder = tmp_path_factory.mktemp("shared")
    keys, configuration = folder / "keys", folder / "bentoml.yaml"
    keys.write_text(f"{digest(KEY)}\n")
    configuration.write_text(CONFIGURATION.format(viewer=VIEWER, page=page))
    files = {"CXR_API_KEYS_FILE": str(keys), "BENTOML_CONFIG": str(configuration)}
    with serving(demo_bundle, folder, KEY, **files) as served:
        yield served


def preflight(served, path: str, origin: str, method: str = "POST") -> httpx.Response:
    """What a browser asks before it sends a file and a key, without the key."""
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "x-api-key",
    }
    return httpx.options(f"{served.url}{path}", headers=headers)


@pytest.mark.parametrize("path", ["/predict", "/predict_batch", "/gradcam", "/explain", "/preview"])
def test_a_preflight_is_answered_without_a_key(shared, path):
    """An allowed origin is told that it may post with a key, with every security header."""
    answer = preflight(shared, path, VIEWER)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == VIEWER
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert "X-API-Key" in answer.headers["access-control-allow-headers"].split(", ")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("origin", "method", "reason"),
    [
        ("https://other.example", "POST", "Disallowed CORS origin."),
        (VIEWER, "DELETE", "Disallowed CORS method."),
    ],
    ids=["another origin", "another method"],
)
def test_a_preflight_for_what_is_not_allowed_is_refused(shared, origin, method, reason):
    """Another origin or method is 400 in the one error shape, and no origin is allowed by it."""
    answer = preflight(shared, "/predict", origin, method)
    assert answer.status_code == 400
    assert answer.json()["error"] == {"code": "cors_refused", "message": reason, "detail": {}}
    assert "access-control-allow-origin" not in answer.headers


ANSWERS = {
    "a prediction": ("POST", "/predict", True, KEY, 200),
    "a heat map": ("POST", "/gradcam", True, KEY, 200),
    "without a key": ("POST", "/predict", True, "", 401),
    "a refused image": ("POST", "/predict", False, KEY, 415),
    "a refused heat map": ("POST", "/gradcam", False, KEY, 415),
    "an unknown path": ("GET", "/nowhere", None, KEY, 404),
    "a wrong method": ("GET", "/predict", None, KEY, 405),
    "the document": ("GET", "/docs.json", None, KEY, 200),
}


@pytest.mark.parametrize(
    ("method", "path", "good", "key", "status"), ANSWERS.values(), ids=list(ANSWERS)
)
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [(VIEWER, [VIEWER]), ("https://other.example", [])],
    ids=["allowed", "another"],
)
def test_every_answer_may_be_read_by_an_allowed_origin(
    shared, phantom_png, method, path, good, key, status, origin, allowed
):
    """Good answers and errors, whoever gave them, name the origin where it is allowed, once."""
    files = None if good is None else {"image": phantom_png(1) if good else b"no image"}
    answer = httpx.request(
        method,
        f"{shared.url}{path}",
        files=files,
        headers={"origin": origin, "x-api-key": key},
        timeout=60,
    )
    assert answer.status_code == status
    assert answer.headers.get_list("access-control-allow-origin") == allowed
    assert "Origin" in answer.headers["vary"].split(", ")
    assert answer.headers.get_list("cross-origin-resource-policy") == ["same-origin"]


ASK = """
const [url, key, bytes, done] = arguments;
const body = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
const headers = {"content-type": "image/png", ...(key ? {"x-api-key": key} : {})};
fetch(`${url}/predict`, {method: "POST", body, headers})
  .then(async (answer) => {
    done([answer.status, answer.headers.get("x-request-id"), await answer.json()]);
  })
  .catch((error) => done([0, null, String(error)]));
"""


def test_a_page_of_an_allowed_origin_reads_answers(shared, page, phantom_png, tmp_path):
    """In a browser, a page of another origin that is allowed gets a prediction with a key and the
    reason of a refusal without one: no security header keeps either from it."""
    chromium = pytest.importorskip("browser", reason="selenium is not installed")
    installed = chromium.installed()
    if installed is None:
        pytest.skip("no Chromium with chromedriver is installed here")
    driver = chromium.start(*installed, tmp_path / "profile")
    try:
        driver.get(page)
        data = base64.b64encode(phantom_png(1)).decode()
        for key, expected in ((KEY, 200), ("", 401)):
            status, request_id, body = driver.execute_async_script(ASK, shared.url, key, data)
            assert (status, bool(request_id)) == (expected, True), body
            assert ("finding" in body) is (expected == 200)
    finally:
        driver.quit()
