"""The protocol's OpenAPI document, as other projects ship it, and our answers over REST."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.types import InferenceRequest, RequestInput

from service.network.bundle import read_manifest

ROOT = Path(__file__).resolve().parents[2]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
SHIPPED = ROOT / "build/clients/mlserver/lib/python3.11/site-packages"
DOCUMENT = SHIPPED / "mlserver" / "rest" / "openapi" / "dataplane.json"

OWN_STATUSES = ("413", "415", "422", "429")
"""Of inference, where the answers are not the document's: it has 400 for every fault of a caller's.

Likewise 404 for the readiness of a model that is none, where it has 200 alone."""

NOT_SERVED = ("_stream", "/generate")
"""Ends of the document's paths that are MLServer's own, for texts."""


def repaired(document: dict, version: str) -> dict:
    """The document without what makes it none, and asking for the models that there are.

    It names a type `bytes`, which JSON Schema has not, and keeps an enumeration where OpenAPI has
    no place for one.
    """
    schemas = document["components"]["schemas"]
    schemas["TensorData"] = {"type": "array"}
    schemas["Datatype"] = document["components"].pop("enums")["Datatype"]
    document = json.loads(
        json.dumps(document).replace("#/components/enums/", "#/components/schemas/")
    )
    paths = document["paths"]
    for path in [path for path in paths if path.endswith(NOT_SERVED)]:
        del paths[path]
    names = {"model_name": ["cxr", "cxr-tensor"], "model_version": [version]}
    for name, path in paths.items():
        if name.endswith("/ready") and "parameters" in path:
            path["get"]["responses"]["404"] = {"description": "No such model"}
        for parameter in path.get("parameters", ()):
            parameter["schema"]["enum"] = names[parameter["name"]]
        if "post" in path:
            for status in OWN_STATUSES:
                path["post"]["responses"][status] = path["post"]["responses"]["400"]
    return document


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="schemathesis is not made for this Python")
@pytest.mark.skipif(not DOCUMENT.exists(), reason="MLServer is not here: `make clients`")
def test_answers_are_those_of_the_protocols_document(served, demo_bundle, tmp_path):
    """Whatever the document allows to be sent, status, type and body of the answer are as it says,
    and nothing fails inside."""
    version = read_manifest(demo_bundle).version
    document = repaired(json.loads(DOCUMENT.read_text(encoding="utf-8")), version)
    (tmp_path / "document.json").write_text(json.dumps(document))
    checks = "not_a_server_error,status_code_conformance,content_type_conformance"
    done = subprocess.run(
        [
            SCHEMATHESIS,
            "run",
            "document.json",
            f"--url={served.url}",
            f"--checks={checks},response_schema_conformance",
            "--max-examples=20",
            "--generation-deterministic",
            "--workers=1",
            "--request-timeout=90",
            "--no-color",
        ],
        env=os.environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "9 selected / 9 total" in done.stdout


def test_the_working_groups_own_client_reads_our_answers(served, phantom_png):
    """The client that is generated from the protocol's document reads health, metadata and an
    answer, and its models accept them."""
    with httpx.Client(timeout=60) as connection:
        client = OpenInferenceClient(base_url=served.url, httpx_client=connection)
        client.check_server_liveness()
        client.check_server_readiness()
        client.check_model_readiness("cxr")
        assert client.read_server_metadata().name == "cxr-pneumonia"
        assert client.read_model_metadata("cxr").inputs[0].name == "image"
        image = RequestInput(
            name="image",
            shape=[1],
            datatype="BYTES",
            parameters={"content_type": "base64"},
            data=[base64.b64encode(phantom_png(1)).decode()],
        )
        answer = client.model_infer("cxr", request=InferenceRequest(inputs=[image]))
        told = connection.post(f"{served.url}/predict", files={"image": phantom_png(1)}).json()
    scores = {output.name: output.data.__root__ for output in answer.outputs}
    assert scores["score"] == [told["score"]]
