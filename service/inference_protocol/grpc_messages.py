"""The messages of `inference.GRPCInferenceService`, from a table of their fields.

A message's bytes are told by the numbers and types of its fields alone. They stand here, those that
are served, and become message classes when this module is imported: no generated code, and no
compiler when installing. A test compares them with the definition that Triton's client ships.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

METHODS = {
    "ServerLive": ("ServerLiveRequest", "ServerLiveResponse"),
    "ServerReady": ("ServerReadyRequest", "ServerReadyResponse"),
    "ModelReady": ("ModelReadyRequest", "ModelReadyResponse"),
    "ServerMetadata": ("ServerMetadataRequest", "ServerMetadataResponse"),
    "ModelMetadata": ("ModelMetadataRequest", "ModelMetadataResponse"),
    "ModelInfer": ("ModelInferRequest", "ModelInferResponse"),
    "ModelConfig": ("ModelConfigRequest", "ModelConfigResponse"),
    "ModelStatistics": ("ModelStatisticsRequest", "ModelStatisticsResponse"),
}
"""Of the service: what each takes and gives."""

MAP = "map"
"""In front of a field's type: from text to values of that type."""

MANY = "many"
"""In front of a field's type: any number of them."""

_MODEL_ASKED = {1: "string name", 2: "string version"}

FIELDS: dict[str, dict[int, str]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {1: "bool live"},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {1: "bool ready"},
    "ModelReadyRequest": _MODEL_ASKED,
    "ModelReadyResponse": {1: "bool ready"},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {1: "string name", 2: "string version", 3: "many string extensions"},
    "ModelMetadataRequest": _MODEL_ASKED,
    "ModelMetadataResponse": {
        1: "string name",
        2: "many string versions",
        3: "string platform",
        4: "many ModelMetadataResponse.TensorMetadata inputs",
        5: "many ModelMetadataResponse.TensorMetadata outputs",
    },
    "ModelMetadataResponse.TensorMetadata": {
        1: "string name",
        2: "string datatype",
        3: "many int64 shape",
    },
    "InferParameter": {  # one of them
        1: "bool bool_param",
        2: "int64 int64_param",
        3: "string string_param",
        4: "double double_param",
        5: "uint64 uint64_param",
    },
    "InferTensorContents": {
        1: "many bool bool_contents",
        2: "many int32 int_contents",
        3: "many int64 int64_contents",
        4: "many uint32 uint_contents",
        5: "many uint64 uint64_contents",
        6: "many float fp32_contents",
        7: "many double fp64_contents",
        8: "many bytes bytes_contents",
    },
    "ModelInferRequest": {
        1: "string model_name",
        2: "string model_version",
        3: "string id",
        4: "map InferParameter parameters",
        5: "many ModelInferRequest.InferInputTensor inputs",
        6: "many ModelInferRequest.InferRequestedOutputTensor outputs",
        7: "many bytes raw_input_contents",
    },
    "ModelInferRequest.InferInputTensor": {
        1: "string name",
        2: "string datatype",
        3: "many int64 shape",
        4: "map InferParameter parameters",
        5: "InferTensorContents contents",
    },
    "ModelInferRequest.InferRequestedOutputTensor": {
        1: "string name",
        2: "map InferParameter parameters",
    },
    "ModelInferResponse": {
        1: "string model_name",
        2: "string model_version",
        3: "string id",
        4: "map InferParameter parameters",
        5: "many ModelInferResponse.InferOutputTensor outputs",
        6: "many bytes raw_output_contents",
    },
    "ModelInferResponse.InferOutputTensor": {
        1: "string name",
        2: "string datatype",
        3: "many int64 shape",
        4: "map InferParameter parameters",
        5: "InferTensorContents contents",
    },
    "ModelConfigRequest": _MODEL_ASKED,
    "ModelConfigResponse": {1: "ModelConfig config"},
    "ModelConfig": {
        1: "string name",
        2: "string platform",
        4: "int32 max_batch_size",
        5: "many ModelInput input",
        6: "many ModelOutput output",
        14: "map ModelParameter parameters",
        17: "string backend",
    },
    "ModelInput": {
        1: "string name",
        2: "DataType data_type",
        4: "many int64 dims",
        5: "ModelTensorReshape reshape",
    },
    "ModelOutput": {
        1: "string name",
        2: "DataType data_type",
        3: "many int64 dims",
        5: "ModelTensorReshape reshape",
    },
    "ModelTensorReshape": {1: "many int64 shape"},
    "ModelParameter": {1: "string string_value"},
    "ModelStatisticsRequest": _MODEL_ASKED,
    "ModelStatisticsResponse": {1: "many ModelStatistics model_stats"},
    "ModelStatistics": {
        1: "string name",
        2: "string version",
        3: "uint64 last_inference",
        4: "uint64 inference_count",
        5: "uint64 execution_count",
        6: "InferStatistics inference_stats",
    },
    "InferStatistics": {
        1: "StatisticDuration success",
        2: "StatisticDuration fail",
        3: "StatisticDuration queue",
        4: "StatisticDuration compute_input",
        5: "StatisticDuration compute_infer",
        6: "StatisticDuration compute_output",
        7: "StatisticDuration cache_hit",
        8: "StatisticDuration cache_miss",
    },
    "StatisticDuration": {1: "uint64 count", 2: "uint64 ns"},
}
"""By message and number: the kind, type and name of a field."""

DATA_TYPES = {"TYPE_INVALID": 0, "TYPE_BOOL": 1, "TYPE_FP32": 11, "TYPE_STRING": 13}
"""Of Triton's enumeration `DataType`, those that are used."""

CHOICES = {"InferParameter": "parameter_choice"}
"""Messages of which only one field is set, with the name of that choice."""

_FieldType = descriptor_pb2.FieldDescriptorProto
_FILE = "inference.proto"


def _file() -> descriptor_pb2.FileDescriptorProto:
    """The whole definition."""
    file = descriptor_pb2.FileDescriptorProto(name=_FILE, package=PACKAGE, syntax="proto3")
    messages: dict[str, descriptor_pb2.DescriptorProto] = {}
    for name, fields in FIELDS.items():
        outer, _, inner = name.rpartition(".")
        message = messages[outer].nested_type.add() if outer else file.message_type.add()
        message.name = inner
        messages[name] = message
        for number, described in fields.items():
            _add_field(message, name, number, described)
        if name in CHOICES:
            message.oneof_decl.add(name=CHOICES[name])
            for field in message.field:
                field.oneof_index = 0
    kinds = file.enum_type.add(name="DataType")
    for name, number in DATA_TYPES.items():
        kinds.value.add(name=name, number=number)
    service = file.service.add(name=SERVICE.rpartition(".")[2])
    for method, (taken, given) in METHODS.items():
        service.method.add(
            name=method, input_type=f".{PACKAGE}.{taken}", output_type=f".{PACKAGE}.{given}"
        )
    return file


def _add_field(
    message: descriptor_pb2.DescriptorProto, full_name: str, number: int, described: str
) -> None:
    *kind, type_name, name = described.split()
    field = message.field.add(name=name, number=number, label=_FieldType.LABEL_OPTIONAL)
    if kind:
        field.label = _FieldType.LABEL_REPEATED
    if kind == [MAP]:  # on the wire, many messages of a key and a value
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add_field(entry, "", 1, "string key")
        _add_field(entry, "", 2, f"{type_name} value")
        type_name = f"{full_name}.{entry.name}"
    if type_name in FIELDS or kind == [MAP]:
        field.type, field.type_name = _FieldType.TYPE_MESSAGE, f".{PACKAGE}.{type_name}"
    elif type_name == "DataType":
        field.type, field.type_name = _FieldType.TYPE_ENUM, f".{PACKAGE}.{type_name}"
    else:
        field.type = _FieldType.Type.Value(f"TYPE_{type_name.upper()}")


POOL = descriptor_pool.DescriptorPool()
"""Of their own: another package in the process may have defined them too."""
POOL.Add(_file())

_CLASSES = {
    name: message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
    for name in FIELDS
}


def message_class(name: str) -> type[Message]:
    """The class of a message by its name in `FIELDS`."""
    return _CLASSES[name]


def build(name: str, /, **values: Any) -> Message:
    """A message by its name in `FIELDS`."""
    return _CLASSES[name](**values)
