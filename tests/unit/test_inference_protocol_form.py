"""How requests and answers of the Open Inference Protocol are read and written."""

import json
import math
import tracemalloc

import numpy as np
import pytest

from service.errors import MalformedRequest, TooLarge
from service.inference_protocol import grpc_form, json_form
from service.inference_protocol.grpc_messages import build, message_class
from service.inference_protocol.json_form import AnswerForm, check_values, values_in, write_answer
from service.inference_protocol.request import InferAnswer, timeout_seconds
from service.inference_protocol.tensors import (
    InputTensor,
    OutputTensor,
    TensorSpec,
    bytes_elements,
    float_array,
)

TEXTS = OutputTensor.of(TensorSpec("labels", "BYTES", (2,)), [("a", "é"), ("", "b")])
NUMBERS = OutputTensor.of(TensorSpec("score", "FP32", (1,)), [[0.1], [math.nan]])
FLAGS = OutputTensor.of(TensorSpec("positive", "BOOL"), [True, False])
ANSWER = InferAnswer("cxr", "7", (TEXTS, NUMBERS, FLAGS))


def test_raw_elements_are_little_endian_and_bytes_have_their_lengths():
    """FP32 is four bytes, BOOL one, BYTES a length of four bytes and then the bytes."""
    assert TEXTS.raw() == b"\1\0\0\0a\2\0\0\0\xc3\xa9\0\0\0\0\1\0\0\0b"
    assert NUMBERS.raw() == b"\xcd\xcc\xcc\x3d\x00\x00\xc0\x7f"
    assert FLAGS.raw() == b"\1\0"
    assert (TEXTS.shape, NUMBERS.shape, FLAGS.shape) == ((2, 2), (2, 1), (2,))


def test_json_has_the_double_of_a_single_and_null_for_what_is_not_finite():
    """The number that JSON has is, as a single again, the same four bytes."""
    body, head = write_answer(ANSWER, AnswerForm("id", {}, False))
    assert head is None
    texts, numbers, flags = (output["data"] for output in json.loads(body)["outputs"])
    assert texts == ["a", "é", "", "b"]
    assert numbers == [0.10000000149011612, None]
    assert np.float32(numbers[0]).tobytes() == NUMBERS.raw()[:4]
    assert flags == [True, False]


def test_binary_outputs_stand_behind_the_json_in_order():
    """The head tells the bytes of each; outputs that are not named follow the default."""
    body, head = write_answer(ANSWER, AnswerForm("id", {"labels": False}, True))
    outputs = json.loads(body[:head])["outputs"]
    assert [output.get("parameters") for output in outputs] == [
        None,
        {"binary_data_size": 8},
        {"binary_data_size": 2},
    ]
    assert body[head:] == NUMBERS.raw() + FLAGS.raw()


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
def test_an_answer_of_grpc_is_raw_or_typed(raw):
    """Never both: a client looks at one of them."""
    written = grpc_form.write_answer(ANSWER, "id", raw)
    message = message_class("ModelInferResponse").FromString(written)
    assert (message.model_name, message.model_version, message.id) == ("cxr", "7", "id")
    if raw:
        assert list(message.raw_output_contents) == [t.raw() for t in ANSWER.outputs]
        assert not any(output.HasField("contents") for output in message.outputs)
    else:
        texts, numbers, flags = (output.contents for output in message.outputs)
        assert list(texts.bytes_contents) == [b"a", "é".encode(), b"", b"b"]
        assert numbers.fp32_contents[0] == np.float32(0.1)
        assert list(flags.bool_contents) == [True, False]
        assert not message.raw_output_contents


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (b"", 1),
        (b"\1\0\0", 1),
        (b"\2\0\0\0a", 1),
        (b"\xff\xff\xff\xffa", 1),
        (b"\1\0\0\0ab", 1),
        (b"\1\0\0\0a", 2),
    ],
    ids=["nothing", "half a length", "short", "a length of 4 GiB", "more behind", "one too few"],
)
def test_bytes_whose_lengths_lie_are_refused(raw, count):
    """Lengths, bytes and shape must agree; nothing is taken on trust."""
    with pytest.raises(MalformedRequest):
        list(bytes_elements(memoryview(raw), count, "image"))


@pytest.mark.parametrize(
    "values",
    [["a"] * 4, [None] * 4, [True] * 4, [[1], [1, 2]], [1, 2, 3], [10**400] * 4, [{}] * 4],
    ids=["texts", "nulls", "flags", "ragged", "too few", "a huge number", "objects"],
)
def test_data_that_are_no_numbers_are_refused(values):
    """Neither is a text that looks like a number, nor a flag, one of a tensor of FP32."""
    tensor = InputTensor("pixels", "FP32", (4,), values=values)
    with pytest.raises(MalformedRequest):
        float_array(tensor, (4,))


@pytest.mark.parametrize("values", [[0, 0.5, 1, 1e300], [[0, 0.5], [1, 1e300]]])
def test_nested_and_flat_data_are_the_same(values):
    """Data may be in lists of lists or flat; what is too large for a single is infinite."""
    array = float_array(InputTensor("pixels", "FP32", (2, 2), values=values), (2, 2))
    assert array.tolist() == [[0, 0.5], [1, math.inf]]


@pytest.mark.parametrize("value", ["1", 1.5, True, -1])
def test_a_time_limit_is_a_whole_number_of_microseconds(value):
    """Anything else is refused; none and 0 are no limit."""
    with pytest.raises(MalformedRequest):
        timeout_seconds({"timeout": value})
    assert timeout_seconds({"timeout": 0}) is None
    assert timeout_seconds({}) is None
    assert timeout_seconds({"timeout": 1500}) == 0.0015


def bomb(parts: bytes) -> bytes:
    return parts * (4_000_000 // len(parts))


BOMBS = {
    "empty inputs": bomb(b"\x2a\x00"),
    "empty raw contents": bomb(b"\x3a\x00"),
    "empty parameters": bomb(b"\x22\x00"),
    "empty files": b"\x2a\x84\x89\x7a\x2a\x80\x89\x7a" + bomb(b"\x42\x00")[:2_000_000],
    "one million numbers": b"\x2a\xc5\x84\x3d\x2a\xc1\x84\x3d\x12\xc0\x84\x3d" + bytes(1_000_000),
}


@pytest.mark.parametrize("message", BOMBS.values(), ids=list(BOMBS))
def test_a_message_that_would_grow_is_refused_unread(message):
    """Four megabytes that would be a hundred once they are read take less than one."""
    tracemalloc.start()
    with pytest.raises((TooLarge, MalformedRequest)):
        grpc_form.read_request(message)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 20


def test_a_large_message_of_elements_is_read():
    """What is a file, raw or typed, is no part beside the elements of tensors; raw contents are
    slices of the message and no copies of it."""
    file = bytes(4_000_000)
    message = build("ModelInferRequest", id="a", raw_input_contents=[file, b"b"])
    rest, raws = grpc_form.split(message.SerializeToString())
    assert message_class("ModelInferRequest").FromString(rest).id == "a"
    assert [bytes(raw) for raw in raws] == [file, b"b"]
    whole = build("ModelInferRequest", inputs=[typed(file)]).SerializeToString()
    assert grpc_form.split(whole) == (whole, [])


def typed(file: bytes):
    contents = build("InferTensorContents", bytes_contents=[file])
    return build("ModelInferRequest.InferInputTensor", name="image", contents=contents)


def test_values_of_json_are_counted_before_they_are_read():
    """Never fewer than there are, and more than a request needs are refused."""
    text = json.dumps({"a": [1, 2, [3, {"b": []}]], "c": "d"}).encode()
    assert values_in(text) >= 9
    with pytest.raises(TooLarge):
        check_values(values_in(b"[" + b"[]," * 100_000 + b"1]"), 100_000)


def test_an_error_of_json_quotes_nothing_that_was_sent():
    """A message about a request says where it is wrong, not what stands there."""
    head = b'{"inputs": [{"name": 7, "datatype": "SECRET", "shape": ["PATIENT"]}]}'
    with pytest.raises(MalformedRequest) as raised:
        json_form.read_request(head, memoryview(b""), "cxr", "")
    assert "inputs.0" in raised.value.message
    assert "PATIENT" not in raised.value.message
