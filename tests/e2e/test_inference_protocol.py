"""The Open Inference Protocol, as it is served over HTTP and gRPC."""

import io
import json
import random
import re
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import numpy as np
import psutil
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from PIL import Image
from protocol import (
    HEAD_LENGTH,
    Rpc,
    binary_answer,
    binary_body,
    json_files,
    raw_bytes,
    tensor_message,
    tensors,
)
from pydicom.data import get_testdata_file
from served import free_port, serving

from bench.protocol_fuzz import REFUSALS, STATUSES, mutated
from service.http.middleware.api_keys import digest
from service.inference_protocol.grpc_messages import SERVICE, build
from service.network.bundle import read_manifest
from service.network.scores import findings
from service.radiograph.preprocess import INPUT_SIDE
from service.radiograph.reader import reader
from service.settings import Settings

KEY = "first"
SERVICE_NAME = "cxr-pneumonia"
SHAPE = (1, INPUT_SIDE, INPUT_SIDE)


@pytest.fixture(scope="module")
def guarded(demo_bundle, tmp_path_factory):
    """A service with gRPC that wants a key; yields it and the port of gRPC."""
    folder, port = tmp_path_factory.mktemp("protocol"), free_port()
    keys = folder / "keys"
    keys.write_text(f"{digest(KEY)}\n")
    with serving(
        demo_bundle,
        folder,
        KEY,
        CXR_API_KEYS_FILE=str(keys),
        CXR_GRPC_PORT=str(port),
        CXR_MAX_BYTES=str(16 << 20),
    ) as served:
        yield served, port


@pytest.fixture(scope="module")
def http(guarded):
    with httpx.Client(base_url=guarded[0].url, timeout=60, headers={"X-API-Key": KEY}) as client:
        yield client


@pytest.fixture(scope="module")
def rpc(guarded):
    rpc = Rpc(f"127.0.0.1:{guarded[1]}", KEY)
    yield rpc
    rpc.channel.close()


@pytest.fixture(scope="module")
def files(phantom_png):
    """A file of every kind that is to be scored."""
    jpeg = io.BytesIO()
    Image.open(io.BytesIO(phantom_png(3, size=400))).save(jpeg, "JPEG")
    with open(get_testdata_file("RG1_J2KI.dcm"), "rb") as dicom:  # noqa: PTH123
        return {
            "PNG": phantom_png(1, size=500),
            "16-bit PNG": phantom_png(2, size=300, bits=16),
            "JPEG": jpeg.getvalue(),
            "DICOM": dicom.read(),
        }


@pytest.fixture(scope="module")
def predicted(http, files):
    """What `/predict` answers for each."""
    answers = {}
    for name, data in files.items():
        answer = http.post("/predict", files={"image": data})
        assert answer.status_code == 200, answer.text
        answers[name] = answer.json()
    return answers


def over_json(http, rpc, data):
    answer = http.post("/v2/models/cxr/infer", json=json_files(data))
    assert answer.status_code == 200, answer.text
    return {
        output["name"]: np.array(output["data"]).reshape(output["shape"])
        for output in answer.json()["outputs"]
    }


def over_binary(http, rpc, data):
    body, headers = binary_body("image", "BYTES", [1], raw_bytes(data))
    answer = http.post("/v2/models/cxr/infer", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return binary_answer(answer)


WAYS = {
    "JSON": over_json,
    "binary": over_binary,
    "gRPC raw": lambda http, rpc, data: tensors(rpc.files(data)),
    "gRPC typed": lambda http, rpc, data: tensors(rpc.files(data, typed=True)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("kind", ["PNG", "16-bit PNG", "JPEG", "DICOM"])
def test_scores_are_bit_equal_to_those_of_predict(http, rpc, files, predicted, kind, way):
    """For every kind of file and every way of asking: as JSON the same double, as FP32 the float
    that it was made of, whose double is the same again."""
    found = way(http, rpc, files[kind])
    told = predicted[kind]["pathologies"]
    for name in ("probability", "score"):
        wanted = [finding[name] for finding in told.values()]
        assert found[name].astype(np.float64).tolist() == [wanted]
    assert found["positive"].tolist() == [[finding["positive"] for finding in told.values()]]
    (warnings,) = found["warnings"]
    assert json.loads(warnings) == predicted[kind]["warnings"]
    (verdict,) = found["verdict"]
    told = verdict.decode() if isinstance(verdict, bytes) else verdict
    assert told == predicted[kind]["input"]["verdict"]


@pytest.mark.parametrize("way", ["JSON", "binary", "gRPC raw", "gRPC typed"])
def test_a_tensors_logits_make_the_scores_of_predict(http, rpc, demo_bundle, files, predicted, way):
    """Pixels that were prepared outside are answered with logits whose scores are `/predict`'s."""
    manifest = read_manifest(demo_bundle)
    with reader(Settings(), manifest.weights.training_ages).reading_framed(
        files["PNG"], None, reduce=True
    ) as framed:
        pixels = framed.input.pixels[None]
    wanted = [{"name": "logits"}]
    if way == "JSON":
        described = {"name": "pixels", "datatype": "FP32", "shape": list(pixels.shape)}
        asked = {"inputs": [{**described, "data": pixels.ravel().tolist()}], "outputs": wanted}
        (output,) = http.post("/v2/models/cxr-tensor/infer", json=asked).json()["outputs"]
        logits = np.array(output["data"], np.float32)
    elif way == "binary":
        body, headers = binary_body(
            "pixels", "FP32", list(pixels.shape), pixels.tobytes(), outputs=wanted
        )
        answer = http.post("/v2/models/cxr-tensor/infer", content=body, headers=headers)
        logits = binary_answer(answer)["logits"][0]
    else:
        logits = tensors(rpc.pixels(pixels, typed=way == "gRPC typed"))["logits"][0]
    (found,) = findings(logits, manifest.labels, manifest.thresholds())
    told = predicted["PNG"]["pathologies"][found.label]
    assert (found.probability, found.score) == (told["probability"], told["score"])


@pytest.mark.parametrize("way", ["binary", "gRPC"])
def test_a_refused_image_is_a_row_of_its_own(http, rpc, files, predicted, way):
    """Its numbers are NaN, it is not positive, and `error` has its code; its neighbours' are the
    scores of `/predict`."""
    sent = (files["PNG"], b"no image", files["JPEG"])
    if way == "gRPC":
        found = tensors(rpc.files(*sent))
    else:
        body, headers = binary_body("image", "BYTES", [3], raw_bytes(*sent))
        answer = http.post("/v2/models/cxr/infer", content=body, headers=headers)
        assert answer.status_code == 200
        found = binary_answer(answer)
    assert found["error"] == [b"", b"not_an_image", b""]
    assert found["positive"][1].tolist() == [False]
    assert np.isnan(found["probability"][1]).all()
    scores = found["score"][:, 0].astype(float).tolist()
    assert scores[0] == predicted["PNG"]["score"]
    assert np.isnan(scores[1])
    assert scores[2] == predicted["JPEG"]["score"]


def test_a_refused_image_is_null_in_json(http, files):
    """JSON has no NaN: the numbers of a refused image are null."""
    answer = http.post("/v2/models/cxr/infer", json=json_files(files["PNG"], b"no image"))
    outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    assert outputs["score"][1] is None
    assert outputs["error"] == ["", "not_an_image"]


def count(http, metric: str) -> float:
    text = http.get("/metrics").text
    return sum(float(n) for n in re.findall(rf"^{re.escape(metric)} (\S+)$", text, re.MULTILINE))


def test_a_request_of_32_images_is_32_entries_in_the_queue(http, rpc, phantom_png):
    """Each image of a request is queued, run and counted for itself."""
    image = phantom_png(5)
    before = count(http, "cxr_batch_size_count")
    asked = 'cxr_protocol_images_total{model="cxr",outcome="ok",protocol="grpc"}'
    by_protocol = count(http, asked)
    assert len(tensors(rpc.files(*[image] * 32))["error"]) == 32
    assert count(http, "cxr_batch_size_count") - before == 32
    assert count(http, asked) - by_protocol == 32


def test_metadata_is_the_same_both_ways(http, rpc, demo_bundle):
    """Names, datatypes and shapes over REST are those over gRPC."""
    version = read_manifest(demo_bundle).version
    for name, inputs in (("cxr", ("image", "BYTES", [-1])), ("cxr-tensor", None)):
        rest = http.get(f"/v2/models/{name}/versions/{version}").json()
        assert rest["versions"] == [version]
        told = rpc.ask("ModelMetadata", name=name, version=version)
        for part in ("inputs", "outputs"):
            same = [(one.name, one.datatype, list(one.shape)) for one in getattr(told, part)]
            described = [(one["name"], one["datatype"], one["shape"]) for one in rest[part]]
            assert described == same
        if inputs:
            assert [tuple(one.values()) for one in rest["inputs"]] == [inputs]
    server = rpc.ask("ServerMetadata")
    rest = http.get("/v2").json()
    assert rest == {
        "name": server.name,
        "version": server.version,
        "extensions": ["binary_tensor_data", "model_configuration", "statistics"],
    }
    assert list(server.extensions) == rest["extensions"]
    config = rpc.ask("ModelConfig", name="cxr").config
    assert config.max_batch_size == http.get("/v2/models/cxr/config").json()["max_batch_size"] == 64


def test_statistics_count_images_and_requests(http, rpc, files):
    """One request of two images is one success and two inferences, told the same both ways."""

    def told() -> tuple[int, int]:
        (stats,) = http.get("/v2/models/cxr/stats").json()["model_stats"]
        (same,) = rpc.ask("ModelStatistics", name="cxr").model_stats
        assert stats["inference_count"] == same.inference_count
        assert stats["inference_stats"]["success"]["count"] == same.inference_stats.success.count
        return stats["inference_count"], same.inference_stats.success.count

    images, requests = told()
    rpc.files(files["PNG"], files["PNG"])
    assert told() == (images + 2, requests + 1)


def test_health_says_both_whichever_is_asked(http, rpc):
    """Readiness and liveness bodies carry both keys; gRPC and its health service agree."""
    for path in ("live", "ready"):
        answer = http.get(f"/v2/health/{path}")
        assert (answer.status_code, answer.json()) == (200, {"live": True, "ready": True})
    assert http.get("/v2/models/cxr/ready").json() == {"name": "cxr", "ready": True}
    assert rpc.ask("ServerLive").live
    assert rpc.ask("ServerReady").ready
    assert rpc.ask("ModelReady", name="cxr-tensor").ready


def test_an_id_is_echoed_and_always_there(http, rpc, files):
    """The caller's own, or one that is made."""
    body = json_files(files["PNG"], id="mine")
    assert http.post("/v2/models/cxr/infer", json=body).json()["id"] == "mine"
    del body["id"]
    assert len(http.post("/v2/models/cxr/infer", json=body).json()["id"]) == 32
    assert rpc.files(files["PNG"], id="mine").id == "mine"
    assert len(rpc.files(files["PNG"]).id) == 32


def test_only_the_wanted_outputs_are_answered(http, files):
    """In the order in which they are named, each in the form that is asked for."""
    wanted = [{"name": "score", "parameters": {"binary_data": True}}, {"name": "labels"}]
    answer = http.post("/v2/models/cxr/infer", json=json_files(files["PNG"], outputs=wanted))
    size = int(answer.headers[HEAD_LENGTH])
    score, labels = json.loads(answer.content[:size])["outputs"]
    assert (score["name"], score["parameters"]) == ("score", {"binary_data_size": 4})
    assert labels["data"] == ["Pneumonia"]
    assert len(answer.content) == size + 4


def pixels_body(shape=(1, *SHAPE), data=None, **more):
    tensor = {"name": "pixels", "datatype": "FP32", "shape": list(shape), **more}
    return {"inputs": [{**tensor, "data": data or [0.5] * (INPUT_SIDE**2)}]}


def binary_pixels(shape, raw, size=None, head=None):
    body, headers = binary_body("pixels", "FP32", shape, raw)
    if size is not None:
        body = body.replace(b'"binary_data_size": %d' % len(raw), b'"binary_data_size": %d' % size)
        headers = {HEAD_LENGTH: str(len(body) - len(raw))}
    return {"content": body, "headers": headers if head is None else head}


IMAGE = np.full((1, *SHAPE), 0.5, np.float32)
BAD = np.where(np.arange(IMAGE.size).reshape(IMAGE.shape) == 7, np.nan, IMAGE).astype("<f4")
RAW = IMAGE.tobytes()
TENSOR, FILES = "/v2/models/cxr-tensor/infer", "/v2/models/cxr/infer"

MALFORMED = {
    "no body": (TENSOR, {"content": b""}, 400, "malformed_request"),
    "no JSON": (TENSOR, {"content": b"{"}, 400, "malformed_request"),
    "JSON of another kind": (TENSOR, {"content": b"[1]"}, 400, "malformed_request"),
    "no input": (TENSOR, {"json": {"inputs": []}}, 400, "unknown_input"),
    "another shape": (TENSOR, {"json": pixels_body((1, 224, 224))}, 400, "wrong_shape"),
    "a shape of no dimension": (TENSOR, {"json": pixels_body(())}, 400, "wrong_shape"),
    "no image": (TENSOR, {"json": pixels_body((0, *SHAPE))}, 400, "wrong_shape"),
    "another datatype": (TENSOR, {"json": pixels_body(datatype="FP64")}, 400, "wrong_datatype"),
    "fewer elements": (TENSOR, {"json": pixels_body(data=[0.5])}, 400, "malformed_request"),
    "texts": (TENSOR, {"json": pixels_body(data=["0.5"] * 50176)}, 400, "malformed_request"),
    "ragged": (TENSOR, {"json": pixels_body(data=[[1], [1, 2]])}, 400, "malformed_request"),
    "10,000 images": (TENSOR, {"json": pixels_body((10_000, *SHAPE))}, 413, "too_large"),
    "10,000 files": (FILES, {"json": json_files(*[b""] * 10_000)}, 413, "too_large"),
    "over one": (TENSOR, {"json": pixels_body(data=[1.5] * 50176)}, 400, "out_of_range"),
    "not a number": (TENSOR, binary_pixels([1, *SHAPE], BAD.tobytes()), 400, "out_of_range"),
    "short of bytes": (TENSOR, binary_pixels([1, *SHAPE], RAW[:-4]), 400, "malformed_request"),
    "a size that lies": (TENSOR, binary_pixels([1, *SHAPE], RAW, 4), 400, "malformed_request"),
    "a size over all": (TENSOR, binary_pixels([1, *SHAPE], RAW, 1 << 40), 400, "malformed_request"),
    "no length of JSON": (
        TENSOR,
        binary_pixels([1, *SHAPE], RAW, head={}),
        400,
        "malformed_request",
    ),
    "a length over all": (
        TENSOR,
        binary_pixels([1, *SHAPE], RAW, head={HEAD_LENGTH: "9999999"}),
        400,
        "malformed_request",
    ),
    "a length of text": (
        TENSOR,
        binary_pixels([1, *SHAPE], RAW, head={HEAD_LENGTH: "-5"}),
        400,
        "malformed_request",
    ),
    "text for a file": (
        FILES,
        {"json": {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}},
        400,
        "text_for_file",
    ),
    "no base64": (
        FILES,
        {"json": json_files(b"") | {"inputs": [json_files(b"")["inputs"][0] | {"data": ["?"]}]}},
        400,
        "malformed_request",
    ),
    "no image file": (FILES, {"json": json_files(b"no image")}, 415, "not_an_image"),
    "an output that is none": (
        FILES,
        {"json": json_files(b"x", outputs=[{"name": "heat"}])},
        400,
        "unknown_output",
    ),
    "an unknown model": ("/v2/models/other/infer", {"json": {}}, 404, "unknown_model"),
    "an unknown version": ("/v2/models/cxr/versions/9/infer", {"json": {}}, 404, "unknown_version"),
    "a compressed body": (
        FILES,
        {"content": b"x", "headers": {"content-encoding": "gzip"}},
        415,
        "unsupported_media_type",
    ),
    "a time limit of text": (
        FILES,
        {"json": json_files(b"x", parameters={"timeout": "soon"})},
        400,
        "malformed_request",
    ),
    "no time": (FILES, {"json": json_files(b"x", parameters={"timeout": 1})}, 504, None),
}


@pytest.mark.parametrize(
    ("path", "sent", "status", "code"), MALFORMED.values(), ids=list(MALFORMED)
)
def test_a_malformed_request_is_refused_as_the_protocol_has_it(http, path, sent, status, code):
    """The status fits, and the body is a text and nothing else, which begins with the code."""
    answer = http.post(path, **sent)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].startswith(f"{code or 'deadline_exceeded'}: ")


def test_errors_have_the_protocols_shape_under_v2_only(http):
    """A path or method that is none is told as a text there, and as an object elsewhere."""
    for method, path, status in (("GET", "/v2/nowhere", 404), ("GET", FILES, 405)):
        answer = http.request(method, path)
        assert answer.status_code == status
        assert isinstance(answer.json()["error"], str)
    assert http.get("/v2nowhere").json()["error"]["code"] == "not_found"


def infer(rpc, model="cxr-tensor", name="pixels", datatype="FP32", shape=(1, *SHAPE), **more):
    inputs = [tensor_message(name, datatype, list(shape))]
    return rpc.ask("ModelInfer", model_name=model, inputs=inputs, **more)


INVALID = grpc.StatusCode.INVALID_ARGUMENT
CALLS = {
    "no input": (INVALID, lambda rpc: rpc.ask("ModelInfer", model_name="cxr")),
    "no data": (INVALID, infer),
    "another shape": (INVALID, lambda rpc: infer(rpc, shape=[1], raw_input_contents=[RAW])),
    "another datatype": (
        INVALID,
        lambda rpc: infer(rpc, datatype="INT8", raw_input_contents=[RAW]),
    ),
    "two raw contents": (INVALID, lambda rpc: infer(rpc, raw_input_contents=[RAW, RAW])),
    "short of bytes": (INVALID, lambda rpc: infer(rpc, raw_input_contents=[RAW[:-1]])),
    "not a number": (INVALID, lambda rpc: rpc.pixels(BAD)),
    "over one": (INVALID, lambda rpc: rpc.pixels(IMAGE * 3, typed=True)),
    "10,000 files": (INVALID, lambda rpc: rpc.files(*[b""] * 10_000)),
    "10,000 files, typed": (INVALID, lambda rpc: rpc.files(*[b""] * 10_000, typed=True)),
    "truncated BYTES": (
        INVALID,
        lambda rpc: infer(rpc, "cxr", "image", "BYTES", [1], raw_input_contents=[b"\7\0\0\0a"]),
    ),
    "bytes behind BYTES": (
        INVALID,
        lambda rpc: infer(
            rpc, "cxr", "image", "BYTES", [1], raw_input_contents=[raw_bytes(b"a") + b"b"]
        ),
    ),
    "no image file": (INVALID, lambda rpc: rpc.files(b"no image")),
    "an unknown model": (grpc.StatusCode.NOT_FOUND, lambda rpc: infer(rpc, "other")),
    "an unknown version": (
        grpc.StatusCode.NOT_FOUND,
        lambda rpc: infer(rpc, model_version="9", raw_input_contents=[RAW]),
    ),
    "no message": (
        INVALID,
        lambda rpc: rpc.call(f"/{SERVICE}/ModelInfer", b"\xff\xff"),
    ),
    "a million inputs": (
        INVALID,
        lambda rpc: rpc.call(f"/{SERVICE}/ModelInfer", b"\x2a\x00" * 1_000_000),
    ),
    "an unknown method": (
        grpc.StatusCode.UNIMPLEMENTED,
        lambda rpc: rpc.call(f"/{SERVICE}/ModelStreamInfer", b""),
    ),
    "more bytes than a message may have": (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        lambda rpc: rpc.files(bytes(17 << 20)),
    ),
    # The network alone takes longer than this for four images, on any processor.
    "no time": (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        lambda rpc: rpc.pixels(np.repeat(IMAGE, 4, axis=0), timeout=0.002),
    ),
}


@pytest.mark.parametrize(("status", "call"), CALLS.values(), ids=list(CALLS))
def test_a_malformed_call_has_the_status_of_its_fault(rpc, status, call):
    """No call fails for a reason inside the service."""
    with pytest.raises(grpc.RpcError) as raised:
        call(rpc)
    assert raised.value.code() == status, raised.value.details()


def test_an_error_is_told_to_programs_too(rpc):
    """The code of an error is in the trailing metadata, and in google.rpc.ErrorInfo."""
    with pytest.raises(grpc.RpcError) as raised:
        rpc.files(b"no image")
    metadata = dict(raised.value.trailing_metadata())
    assert metadata["error-code"] == "not_an_image"
    status = Status.FromString(metadata["grpc-status-details-bin"])
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "NOT_AN_IMAGE"


def test_nothing_is_answered_without_a_key(guarded, files):
    """Neither over HTTP nor over gRPC, but whether the service is up."""
    served, port = guarded
    stranger = Rpc(f"127.0.0.1:{port}")
    for call in (
        lambda: stranger.ask("ServerMetadata"),
        lambda: stranger.files(files["PNG"]),
        lambda: reflected(stranger),
    ):
        with pytest.raises(grpc.RpcError) as raised:
            call()
        assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert stranger.ask("ServerReady").ready
    assert health(stranger) == health_pb2.HealthCheckResponse.SERVING
    answer = httpx.post(f"{served.url}{FILES}", json=json_files(files["PNG"]))
    assert answer.status_code == 401
    assert answer.json()["error"].startswith("unauthorised: ")
    assert httpx.get(f"{served.url}/v2/health/ready").status_code == 200
    stranger.channel.close()


def health(rpc, service: str = "") -> int:
    asked = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    answer = rpc.call("/grpc.health.v1.Health/Check", asked)
    return health_pb2.HealthCheckResponse.FromString(answer).status


def reflected(rpc) -> list[str]:
    call = rpc.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    metadata = () if rpc.key is None else (("x-api-key", rpc.key),)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    services, file = call(iter(asked), metadata=metadata, timeout=20)
    assert file.file_descriptor_response.file_descriptor_proto
    return [service.name for service in services.list_services_response.service]


def test_health_checking_and_reflection_are_served(rpc):
    """By the names that other tools ask for."""
    assert health(rpc, SERVICE) == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as raised:
        health(rpc, "other")
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert SERVICE in reflected(rpc)


def test_a_compressed_message_is_not_read(rpc, guarded):
    """What would be as large as it likes once it is read is refused unread."""
    channel = grpc.insecure_channel(f"127.0.0.1:{guarded[1]}", compression=grpc.Compression.Gzip)
    message = build("ModelInferRequest", model_name="cxr", raw_input_contents=[bytes(1 << 20)])
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(f"/{SERVICE}/ModelInfer")(
            message.SerializeToString(), metadata=(("x-api-key", KEY),), timeout=20
        )
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
    channel.close()


def test_mutated_bodies_break_nothing(http, rpc, guarded, phantom_png):
    """Of 150 damaged requests each way none is answered with a fault of the service's own, and the
    next good one is answered."""
    chance = random.Random(20)
    image = phantom_png(7, size=64)
    as_json = json.dumps(json_files(image)).encode()
    as_bytes, headers = binary_body("image", "BYTES", [1], raw_bytes(image))
    message = build(
        "ModelInferRequest",
        model_name="cxr",
        inputs=[tensor_message("image", "BYTES", [1])],
        raw_input_contents=[raw_bytes(image)],
    ).SerializeToString()
    for number in range(150):
        binary = number % 2 == 0
        answer = http.post(
            FILES,
            content=mutated(as_bytes if binary else as_json, chance),
            headers=headers if binary else {},
        )
        assert answer.status_code in REFUSALS, answer.text
        try:
            rpc.call(f"/{SERVICE}/ModelInfer", mutated(message, chance))
        except grpc.RpcError as error:
            assert error.code().name in STATUSES, error.details()  # noqa: PT017
    assert tensors(rpc.files(image))["error"] == [b""]
    log = guarded[0].log.read_text()
    assert not re.search('"a (request|call|image of a batch) failed"', log)


@pytest.mark.parametrize("way", ["gRPC", "REST"])
def test_what_was_refused_is_not_kept(guarded, http, rpc, way):
    """16 refused requests of 15 MiB leave less than 64 MiB: no error keeps what it is about."""
    raw = raw_bytes(bytes(15 << 20))[:-1]
    supervisor = psutil.Process(guarded[0].process.pid)
    (process,) = [
        child for child in supervisor.children(recursive=True) if SERVICE_NAME in child.cmdline()
    ]

    def refused() -> None:
        if way == "gRPC":
            with pytest.raises(grpc.RpcError):
                infer(rpc, "cxr", "image", "BYTES", [1], raw_input_contents=[raw])
        else:
            body, headers = binary_body("image", "BYTES", [1], raw)
            assert http.post(FILES, content=body, headers=headers).status_code == 400

    refused()
    before = process.memory_info().rss
    for _ in range(16):
        refused()
    assert process.memory_info().rss - before < 64 << 20


@pytest.fixture(scope="module")
def narrow(demo_bundle, tmp_path_factory):
    """A service with room for three images; yields it and its gRPC."""
    port = free_port()
    with serving(
        demo_bundle,
        tmp_path_factory.mktemp("narrow"),
        CXR_GRPC_PORT=str(port),
        CXR_QUEUE="1",
        CXR_MAX_BATCH="1",
    ) as served:
        yield served, Rpc(f"127.0.0.1:{port}")


def test_overload_says_when_to_try_again(narrow, phantom_png):
    """Where the queue is full a call is RESOURCE_EXHAUSTED with google.rpc.RetryInfo, and a request
    over HTTP is 429 with Retry-After."""
    served, rpc = narrow
    image = phantom_png(9, size=1500)

    def outcome(number: int):
        if number % 2:
            return httpx.post(f"{served.url}{FILES}", json=json_files(image), timeout=60)
        try:
            return rpc.files(image)
        except grpc.RpcError as error:
            return error

    with ThreadPoolExecutor(24) as clients:
        outcomes = list(clients.map(outcome, range(48)))
    refused = [one for one in outcomes if isinstance(one, grpc.RpcError)]
    turned_away = [one for one in outcomes[1::2] if one.status_code != 200]
    assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert {answer.status_code for answer in turned_away} == {429}
    assert int(turned_away[0].headers["retry-after"]) >= 1
    metadata = dict(refused[0].trailing_metadata())
    assert int(metadata["retry-after"]) >= 1
    _, detail = Status.FromString(metadata["grpc-status-details-bin"]).details
    retry = RetryInfo()
    assert detail.Unpack(retry)
    assert retry.retry_delay.seconds >= 1
