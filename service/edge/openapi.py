"""The OpenAPI document: every path, every status that it can answer with, every body."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from service import errors
from service.about import About
from service.answer import PNEUMONIA, Prediction
from service.batch_answer import BatchAnswer
from service.edge.api_keys import HEADER

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


def document(version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the HTTP service.

    Args:
        version: Of the software.
    """
    _, schemas = models_json_schema(
        [
            (Prediction, "serialization"),
            (BatchAnswer, "serialization"),
            (About, "serialization"),
        ],
        ref_template=_REFERENCE,
    )
    target = {
        "type": "string",
        "default": PNEUMONIA,
        "description": "The finding to explain, as /predict names it.",
    }
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
            ),
            "/gradcam": _upload(
                "gradcam",
                "Where the score of a finding came from, drawn over the radiograph.",
                {"image": _FILE, "target": target},
                {"image/png": {"schema": _FILE}},
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


def _model(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=name)}


def _error_answer(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": _model("Error")}},
    }


def _upload(
    name: str, summary: str, fields: dict[str, Any], content: dict[str, Any]
) -> dict[str, Any]:
    """The description of a path that takes a multipart form; its first field is required."""
    responses: dict[str, Any] = {"200": {"description": "Done.", "content": content}}
    for fault in _EVERY_UPLOAD:
        described = responses.setdefault(str(fault.status), _error_answer(fault.code))
        if fault is errors.Overloaded:
            described["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    form = {
        "type": "object",
        "properties": fields,
        "required": [next(iter(fields))],
    }
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "requestBody": {
                "required": True,
                "content": {"multipart/form-data": {"schema": form}},
            },
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
