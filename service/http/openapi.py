"""The OpenAPI document: every path, every status that it can answer with, every body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from service import errors
from service.explain.answer import ExplanationAnswer
from service.explain.cam.class_map import LAYERS
from service.explain.cam.request import OFFERED
from service.explain.fields import ExplainFields, ObjectKind
from service.http.about import About
from service.http.batch_answer import BatchAnswer
from service.http.middleware.api_keys import HEADER
from service.http.uploads import FILE_TYPES
from service.media_types import DICOM
from service.multipart_related import MULTIPART_RELATED
from service.network.answer import Prediction

_REFERENCE = "#/components/schemas/{model}"

_EVERY_UPLOAD: tuple[type[errors.CxrError], ...] = (
    errors.MalformedRequest,
    errors.Unauthorised,
    errors.TooSlow,
    errors.TooLarge,
    errors.NotAnImage,
    errors.Unprocessable,
    errors.Overloaded,
    errors.InferenceFailed,
    errors.Unavailable,
    errors.DeadlineExceeded,
)

_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "detail"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "detail": {"type": "object"},
            },
        }
    },
}

_FILE = {"type": "string", "format": "binary"}

_OFFERED = {
    "additionalProperties": False,
    "allOf": [
        {
            "anyOf": [
                {"properties": {"method": {"enum": [method]}, "layer": {"enum": list(layers)}}}
                for method, layers in OFFERED.items()
            ]
        }
    ],
}
"""Which fields a heat map takes, and at which layers each method is offered.

The alternatives stand in an `allOf`: where they are part of the form itself, some generators of
clients make a type of each, without the fields that all have in common.
"""

_FORM = "multipart/form-data"
_OR_THE_FILE = (
    "The body may also be the image's file itself, of the type {types} or any image/ type: "
    "`curl --data-binary @FILE -H 'Content-Type: {example}'`."
)


def document(version: str, findings: Sequence[str]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the HTTP service.

    Args:
        version: Of the software.
        findings: Those that the served weights name.
    """
    _, schemas = models_json_schema(
        [
            (Prediction, "serialization"),
            (BatchAnswer, "serialization"),
            (ExplanationAnswer, "serialization"),
            (About, "serialization"),
        ],
        ref_template=_REFERENCE,
    )
    wanted = _explain_fields(findings)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cxr-pneumonia",
            "version": version,
            "summary": "Pneumonia and other findings on frontal chest radiographs.",
            "description": "Research software, not for clinical use.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/predict": _upload(
                "predict",
                "How likely each finding is on one radiograph.",
                {"image": _FILE},
                {"application/json": {"schema": _model("Prediction")}},
                plain=True,
            ),
            "/predict_batch": _upload(
                "predict_batch",
                "Several radiographs: one answer an image, in order, a prediction or an error.",
                {"images": {"type": "array", "items": _FILE, "minItems": 1}},
                {"application/json": {"schema": _model("BatchAnswer")}},
            ),
            "/preview": _upload(
                "preview",
                "One radiograph as the service sees it: 8-bit greys, the whole field of view, the "
                "longer side 2048 pixels at the most.",
                {"image": _FILE},
                {"image/png": {"schema": _FILE}},
                plain=True,
            ),
            "/gradcam": _upload(
                "gradcam",
                "Where the score of a finding came from, drawn over the radiograph.",
                wanted,
                {"image/png": {"schema": _FILE}, DICOM: {"schema": _FILE}},
                _OFFERED,
            ),
            "/explain": _upload(
                "explain",
                "Where the score of a finding came from, as numbers.",
                wanted,
                {
                    "application/json": {"schema": _model("ExplanationAnswer")},
                    DICOM: {"schema": _FILE},
                    MULTIPART_RELATED: {"schema": _FILE},
                },
                _OFFERED,
            ),
            "/about.json": _about(),
            "/livez": _probe("livez", "Whether the process lives."),
            "/readyz": _probe("readyz", "Whether predictions are answered."),
            "/metrics": _probe("metrics", "Metrics for Prometheus."),
        },
        "components": {
            "schemas": {**schemas["$defs"], "Error": _ERROR},
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": HEADER}},
        },
    }


def _explain_fields(findings: Sequence[str]) -> dict[str, Any]:
    """The fields of a form that asks where a score came from."""
    kinds = "|".join(get_args(ObjectKind))
    known = {"target": list(findings), "method": list(OFFERED), "layer": list(LAYERS)}
    fields: dict[str, Any] = {"image": _FILE}
    for name, field in ExplainFields.model_json_schema()["properties"].items():
        kept = ("type", "minimum", "maximum", "description")
        fields[name] = {key: value for key, value in field.items() if key in kept}
        if name in known:
            fields[name] |= {"type": "string", "enum": known[name]}
        if field.get("default") is not None:
            fields[name]["default"] = field["default"]
    fields["objects"] |= {"type": "string", "pattern": f"^(({kinds})(,({kinds}))*)?$"}
    del fields["objects"]["default"]
    return fields


def _model(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=name)}


def _error_answer(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": _model("Error")}},
    }


def _upload(
    name: str,
    summary: str,
    fields: dict[str, Any],
    content: dict[str, Any],
    bounds: dict[str, Any] | None = None,
    *,
    plain: bool = False,
) -> dict[str, Any]:
    """The description of a path that takes a multipart form; its first field is required.

    Where it is `plain`, the file itself is taken as well, which stands in the text alone: for a
    second type of body some generators write code that cannot be imported.
    """
    responses: dict[str, Any] = {"200": {"description": "Done.", "content": content}}
    for fault in _EVERY_UPLOAD:
        described = responses[str(fault.status)] = _error_answer(fault.code)
        if fault is errors.Overloaded:
            described["headers"] = {
                "Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}
            }
        if fault is errors.Unauthorised:
            described["headers"] = {
                "WWW-Authenticate": {"required": True, "schema": {"type": "string"}}
            }
    form = {
        "type": "object",
        "properties": fields,
        "required": [next(iter(fields))],
    } | (bounds or {})
    body: dict[str, Any] = {"required": True, "content": {_FORM: {"schema": form}}}
    if plain:
        types = ", ".join(FILE_TYPES)
        body["description"] = _OR_THE_FILE.format(types=types, example=FILE_TYPES[0])
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "requestBody": body,
            "responses": responses,
            "security": [{}, {"key": []}],
        }
    }


def _about() -> dict[str, Any]:
    return {
        "get": {
            "operationId": "about",
            "summary": "Which model answers, the heat maps that are offered, the limits.",
            "responses": {
                "200": {
                    "description": "Done.",
                    "content": {"application/json": {"schema": _model("About")}},
                },
                "401": _error_answer(errors.Unauthorised.code),
            },
            "security": [{}, {"key": []}],
        }
    }


def _probe(name: str, summary: str) -> dict[str, Any]:
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "responses": {
                "200": {
                    "description": "Yes.",
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                },
                "503": _error_answer("No."),
            },
        }
    }
