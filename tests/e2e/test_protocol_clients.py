"""Clients of other projects ask the Open Inference Protocol, each in an environment of its own.

`make clients` makes the environments. Their packages pin what the project pins otherwise.
"""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from environments import interpreter, run
from PIL import Image
from pydicom.data import get_testdata_file
from served import free_port, serving

from service.network.bundle import read_manifest
from service.network.scores import findings

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
DOCUMENT = ROOT / "docs" / "inference-protocol.md"
CLIENTS = ("triton", "kserve", "mlserver")
EXAMPLES = {
    "Triton's client over HTTP": "triton",
    "Triton's client over gRPC": "triton",
    "KServe's client": "kserve",
    "MLServer's codecs": "mlserver",
}


@pytest.fixture(scope="module")
def spoken(demo_bundle, tmp_path_factory) -> tuple[str, str]:
    """A service with gRPC; yields both addresses."""
    port = free_port()
    with serving(demo_bundle, tmp_path_factory.mktemp("spoken"), CXR_GRPC_PORT=str(port)) as served:
        yield served.url.removeprefix("http://"), f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def files(tmp_path_factory, phantom_png) -> list[Path]:
    """A PNG, a JPEG, a 16-bit PNG and a DICOM file."""
    folder = tmp_path_factory.mktemp("files")
    jpeg = io.BytesIO()
    Image.open(io.BytesIO(phantom_png(3, size=400))).save(jpeg, "JPEG")
    written = {
        "a.png": phantom_png(1, size=500),
        "b.jpg": jpeg.getvalue(),
        "c.png": phantom_png(2, size=300, bits=16),
        "d.dcm": Path(get_testdata_file("RG1_J2KI.dcm")).read_bytes(),
    }
    for name, data in written.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in written]


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unchanged_client_gets_the_scores_of_predict(
    spoken, files, demo_bundle, tmp_path, client
):
    """Over HTTP and gRPC, for four kinds of files, the four bytes of each score are those of the
    double that `/predict` answers; a tensor's logits are the same both ways, and make scores."""
    http, grpc = spoken
    pixels = np.random.default_rng(7).random((2, 1, 224, 224), np.float32)
    np.save(tmp_path / "pixels.npy", pixels)
    script = HERE / "clients" / f"ask_{client}.py"
    told = json.loads(run(interpreter(client), script, http, grpc, tmp_path / "pixels.npy", *files))
    wanted = []
    for file in files:
        answer = httpx.post(
            f"http://{http}/predict",
            content=file.read_bytes(),
            timeout=60,
            headers={"content-type": "application/octet-stream"},
        )
        wanted.append(np.float32(answer.json()["score"]))
        assert float(wanted[-1]) == answer.json()["score"]
    for way in told:
        assert way["scores"] == [score.tobytes().hex() for score in wanted]
    assert told[0]["logits"] == told[1]["logits"]
    logits = np.frombuffer(bytes.fromhex(told[0]["logits"]), np.float32).reshape(2, 18)
    manifest = read_manifest(demo_bundle)
    (finding,) = findings(logits[0], manifest.labels, manifest.thresholds())
    assert 0 < finding.score < 1


@pytest.mark.parametrize("heading", list(EXAMPLES))
def test_the_examples_of_the_document_are_answered(spoken, tmp_path, phantom_png, heading):
    """Each client's example in docs/inference-protocol.md prints a score."""
    http, grpc = spoken
    (tmp_path / "FILE").write_bytes(phantom_png(1))
    section = DOCUMENT.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1]
    code = re.search(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[1]
    code = code.replace("localhost:3000", http).replace("localhost:8001", grpc)
    printed = run(interpreter(EXAMPLES[heading]), "-c", code, cwd=tmp_path)
    assert re.search(r"\[\[0\.\d+\]\]", printed)


def test_the_manifests_name_fields_that_kserve_has():
    """Every field of the ServingRuntime and the InferenceService is in KServe's own schemas."""
    kubectl = Path(sys.executable).with_name("kubectl")
    manifests = subprocess.run(
        [kubectl, "kustomize", ROOT / "deploy" / "kserve"], check=True, stdout=subprocess.PIPE
    ).stdout
    done = subprocess.run(
        [interpreter("kserve"), HERE / "clients" / "check_kserve.py"],
        input=manifests,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.decode().splitlines() == ["2 checked"], done.stderr.decode()


DESCRIBE = """
import json

found = {}

def describe(message, name):
    found[name] = {
        field.name: [
            field.number,
            field.type,
            bool(field.is_repeated),
            field.containing_oneof.name if field.containing_oneof else "",
        ]
        for field in message.fields
    }
    for inner in message.nested_types:
        describe(inner, name + "." + inner.name)

def finish(messages, service, kinds):
    for message in messages:
        describe(message, message.name)
    found["methods"] = {m.name: [m.input_type.name, m.output_type.name] for m in service.methods}
    found["DataType"] = {value.name: value.number for value in kinds.values}
    print(json.dumps(found))
"""
OURS = """
from service.inference_protocol.grpc_messages import FIELDS, POOL, SERVICE

names = [f"inference.{name}" for name in FIELDS if "." not in name]
finish(
    map(POOL.FindMessageTypeByName, names),
    POOL.FindServiceByName(SERVICE),
    POOL.FindEnumTypeByName("inference.DataType"),
)
"""
TRITON = """
from tritonclient.grpc import model_config_pb2, service_pb2

files = service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR
(service,) = files[0].services_by_name.values()
messages = [message for file in files for message in file.message_types_by_name.values()]
finish(messages, service, files[1].enum_types_by_name["DataType"])
"""


def test_field_numbers_are_those_of_tritons_definition():
    """Every message, field, number, type and method here is in the definition that Triton's client
    ships; what is not here is passed over, as the wire's rules have it."""
    theirs = json.loads(run(interpreter("triton"), "-c", DESCRIBE + TRITON))
    ours = json.loads(run(Path(sys.executable), "-c", DESCRIBE + OURS, cwd=ROOT))
    assert len(ours) > 25
    assert set(ours) <= set(theirs)
    for name, fields in ours.items():
        assert fields.items() <= theirs[name].items(), name
