"""A client that openapi-python-client generates from the OpenAPI document, used as it comes."""

import importlib
import io
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

GENERATOR = Path(sys.executable).with_name("openapi-python-client")
PACKAGE = "chest_radiographs_client"

pytestmark = pytest.mark.skipif(
    not GENERATOR.exists(), reason="openapi-python-client is not made for this Python"
)


@pytest.fixture(scope="module")
def package(served, tmp_path_factory):
    """The generated package, on the path."""
    folder = tmp_path_factory.mktemp("generated")
    config = folder / "config.yaml"
    config.write_text("post_hooks: []\n")  # formatting would need ruff on the path
    subprocess.run(
        [
            *(GENERATOR, "generate", "--url", f"{served.url}/docs.json", "--meta", "none"),
            *("--output-path", folder / PACKAGE, "--config", config),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(folder)
    yield importlib.import_module(PACKAGE)
    patch.undo()


@pytest.fixture
def call(package, served):
    """Call an operation with a file and fields, as a user of the client would."""

    def sent(operation: str, data: bytes, **fields: object):
        api = importlib.import_module(f"{PACKAGE}.api.default.{operation}")
        models = importlib.import_module(f"{PACKAGE}.models")
        file = importlib.import_module(f"{PACKAGE}.types").File(io.BytesIO(data), "radiograph.png")
        body = getattr(models, f"{operation.capitalize()}Body")(image=file, **fields)
        with package.Client(served.url, timeout=90) as client:
            return api.sync_detailed(client=client, body=body)

    return sent


def test_every_module_can_be_imported(package):
    """No module of the client is broken, and each operation of the document has one."""
    names = [each.name for each in pkgutil.walk_packages(package.__path__, f"{PACKAGE}.")]
    for name in names:
        importlib.import_module(name)
    api = f"{PACKAGE}.api.default."
    assert {name.removeprefix(api) for name in names if name.startswith(api)} == {
        "about",
        "explain",
        "gradcam",
        "livez",
        "metrics",
        "predict",
        "predict_batch",
        "preview",
        "readyz",
    }


def test_a_prediction_is_what_the_service_answers(call, client, phantom_png):
    """The client's prediction holds the same as the JSON of the service."""
    answered = client.post("/predict", files={"image": phantom_png(1)}).json()
    prediction = call("predict", phantom_png(1)).parsed
    assert prediction.finding == "Pneumonia"
    assert prediction.to_dict() == answered


def test_a_preview_is_a_png_file(call, phantom_png):
    """The client's preview holds the bytes of a PNG file."""
    answer = call("preview", phantom_png(1))
    assert answer.status_code == 200
    assert answer.content.startswith(b"\x89PNG")


def test_the_fields_of_a_heat_map_arrive(call, phantom_png):
    """Target, method and layer are arguments of the client, and the service explains by them."""
    models = importlib.import_module(f"{PACKAGE}.models")
    explained = call(
        "explain",
        phantom_png(1),
        target=models.ExplainBodyTarget.PNEUMONIA,
        method=models.ExplainBodyMethod.HIRESCAM,
        layer=models.ExplainBodyLayer.DENSEBLOCK4,
    ).parsed
    assert (explained.target, explained.method, explained.layer) == (
        "Pneumonia",
        "hirescam",
        "denseblock4",
    )
    drawn = call("gradcam", phantom_png(1), method=models.GradcamBodyMethod.CAM, captions=False)
    assert drawn.status_code == 200
    assert drawn.content.startswith(b"\x89PNG")


def test_an_error_is_one_of_the_service(call):
    """What the service refuses is an error with its code, not an exception of the client."""
    refused = call("predict", b"no image")
    assert refused.status_code == 415
    assert refused.parsed.error.code == "not_an_image"
