"""The contract as one JSON Schema (draft 2020-12), with a definition for each thing that travels through Redis."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from producer.contract import REQUESTS
from producer.contract.documents.comments import described_fields
from producer.contract.documents.meanings import TASK_RULES
from producer.contract.headers import (
    MAX_TRACE_HEADER_CHARACTERS,
    ONCE_HEADER,
    SENT_AT_HEADER,
    SENTRY_ENQUEUED_TIME_HEADER,
    TRACE_HEADERS,
    VERSION_HEADER,
)
from producer.contract.limits import MAX_TEXT_CHARACTERS
from producer.contract.names import CONTRACT_VERSION, SUPPORTED_VERSIONS, TaskName
from producer.contract.requests.text_classification import TextInput
from producer.contract.results import AnswerSpan, ItemFailure, LabelScore, ZeroShotResult
from producer.errors import ErrorCode, InvalidRequest, ModelFailed, RequestError, UnknownModel, UnknownTask

__all__ = ["JsonSchema", "definitions", "json_schema", "name_of"]

JsonSchema = dict[str, Any]

#: What a successful request returns: for one input, or for a list.
_RESULTS: dict[TaskName, Any] = {
    TaskName.TEXT_CLASSIFICATION: list[LabelScore] | list[list[LabelScore] | ItemFailure],
    TaskName.ZERO_SHOT_CLASSIFICATION: ZeroShotResult | list[ZeroShotResult | ItemFailure],
    TaskName.QUESTION_ANSWERING: AnswerSpan | list[AnswerSpan] | list[AnswerSpan | list[AnswerSpan] | ItemFailure],
}
_STORED_ERRORS = (InvalidRequest, UnknownModel, UnknownTask, ModelFailed)
_TEXT: JsonSchema = {"type": "string", "minLength": 1}


def json_schema() -> JsonSchema:
    """The whole document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:celeriac:contract:{CONTRACT_VERSION}",
        "title": f"The contract of Celeriac, version {CONTRACT_VERSION}",
        "description": "Each definition describes something that travels through Redis. `Message` is the element of a "
        "list, `StoredResult` the value under `celery-task-meta-<id>`.",
        "$defs": definitions("#/$defs/"),
    }


def definitions(prefix: str) -> dict[str, JsonSchema]:
    """All definitions by name; a reference to one is ``prefix`` and its name."""
    found = _requests(prefix) | _results(prefix)
    found |= {"Headers": _headers(), "StoredError": _stored_error(), "StoredResult": _stored_result(prefix)}
    return dict(sorted((found | {"Message": _message(prefix)}).items()))


def name_of(task: TaskName) -> str:
    """A task's name as the names of its definitions have it, such as ``TextClassification``."""
    return task.name.title().replace("_", "")


def _requests(prefix: str) -> dict[str, JsonSchema]:
    template = f"{prefix}{{model}}"
    _, made = models_json_schema([(schema, "validation") for schema in REQUESTS.values()], ref_template=template)
    found: dict[str, JsonSchema] = made["$defs"]
    for task, schema in REQUESTS.items():
        own = found[schema.__name__]
        own["description"] = " ".join([_first_paragraph(schema), *TASK_RULES[task]])
        for name, text in described_fields(schema).items():
            # pydantic derives the title from the name, which says nothing.
            own["properties"][name].pop("title", None)
            if text:
                own["properties"][name]["description"] = text
    pair = found[TextInput.__name__]
    description = _first_paragraph(TextInput).replace("``str``", "string")
    plain = {**_TEXT, "maxLength": MAX_TEXT_CHARACTERS}
    found[TextInput.__name__] = {"description": description, "anyOf": [plain, {**pair, "description": ""}]}
    _require_pairs(found[REQUESTS[TaskName.QUESTION_ANSWERING].__name__])
    return {name: _without_empty(value) for name, value in found.items()}


def _require_pairs(questions: JsonSchema) -> None:
    """A question comes with a context, and several with several."""
    both = ("question", "context")
    questions["oneOf"] = [
        {"properties": {name: {"type": kind} for name in both}, "title": f"each a {kind}"}
        for kind in ("string", "array")
    ]


def _results(prefix: str) -> dict[str, JsonSchema]:
    found: dict[str, JsonSchema] = {}
    for task, kind in _RESULTS.items():
        made = TypeAdapter(kind).json_schema(ref_template=f"{prefix}{{model}}")
        found |= made.pop("$defs", {})
        found[f"{name_of(task)}Result"] = made
    found["ItemError"]["properties"]["code"] = _error_code()
    return {name: _described(value) for name, value in found.items()}


def _described(value: JsonSchema) -> JsonSchema:
    """Spread what a docstring says about its attributes over the properties."""
    text, _, attributes = value.get("description", "").partition("\n\nAttributes:\n")
    for line in attributes.splitlines():
        name, _, meaning = line.strip().partition(": ")
        if name in value["properties"]:
            value["properties"][name]["description"] = meaning.replace("``", "")
    for described in value.get("properties", {}).values():
        described.pop("title", None)
    if text:
        # References of Sphinx mean nothing here.
        value["description"] = text.partition("; see :class:")[0]
    return value


def _headers() -> JsonSchema:
    moment = {"type": ["string", "null"], "description": "An ISO 8601 time, UTC unless it has an offset."}
    trace = {"type": "string", "maxLength": MAX_TRACE_HEADER_CHARACTERS}
    return {
        "type": "object",
        "description": "Celery's headers (protocol 2) and ours; others are ignored.",
        "required": ["task", "id"],
        "properties": {
            "task": {"enum": [task.value for task in TaskName]},
            "id": {**_TEXT, "description": "The request's id, chosen by the sender: a UUID, or unique some other way."},
            "root_id": {"type": ["string", "null"]},
            "parent_id": {"type": ["string", "null"]},
            "expires": {**moment, "description": f"{moment['description']} No worker starts the request after it."},
            "eta": {**moment, "description": f"{moment['description']} No worker starts the request before it."},
            "ignore_result": {"type": ["boolean", "null"], "description": "True: no result is stored."},
            VERSION_HEADER: {
                "enum": sorted(SUPPORTED_VERSIONS),
                "description": "The version of the contract; this one, if it is left out.",
            },
            ONCE_HEADER: {
                "anyOf": [{"type": "string", "minLength": 1, "maxLength": 100}, {"type": "boolean"}],
                "description": "Set if messages with this id are one request, computed once: names this sending.",
            },
            SENT_AT_HEADER: {"type": "number", "description": "When the message was sent, in seconds since 1970."},
            SENTRY_ENQUEUED_TIME_HEADER: {"type": "number", "description": "The same, from Sentry's SDK."},
            **{name: {**trace, "description": "Continues the sender's trace."} for name in TRACE_HEADERS},
        },
    }


def _message(prefix: str) -> JsonSchema:
    """The element of a list."""
    arguments = [{"$ref": f"{prefix}{schema.__name__}"} for schema in REQUESTS.values()]
    info = {"exchange": {"type": "string"}, "routing_key": {"type": "string", "description": "The queue."}}
    return {
        "type": "object",
        "description": "A message: one element of the Redis list of a queue, pushed with LPUSH.",
        "required": ["body", "content-type", "headers", "properties"],
        "properties": {
            "body": {
                "type": "string",
                "description": "Base64 of a JSON list: positional arguments, keyword arguments, Celery's options.",
                "contentEncoding": "base64",
                "contentMediaType": "application/json",
                "contentSchema": {
                    "type": "array",
                    "prefixItems": [{"type": "array"}, {"anyOf": arguments}, {"type": ["object", "null"]}],
                    "minItems": 3,
                    "maxItems": 3,
                },
            },
            "content-type": {"const": "application/json"},
            "content-encoding": {"const": "utf-8"},
            "headers": {"$ref": f"{prefix}Headers"},
            "properties": {
                "type": "object",
                "required": ["delivery_tag", "delivery_info", "body_encoding"],
                "properties": {
                    "delivery_tag": {**_TEXT, "description": "Unique for each message: a UUID."},
                    "delivery_info": {"type": "object", "required": list(info), "properties": info},
                    "body_encoding": {"const": "base64"},
                },
            },
        },
    }


def _stored_error() -> JsonSchema:
    details = {
        "type": "object",
        "required": ["code", "field", "limit"],
        "properties": {
            "code": _error_code(),
            "field": {"type": ["string", "null"], "description": "Where it is wrong, such as `inputs[3].text`."},
            "limit": {"type": ["number", "string", "null"], "description": "The limit that was exceeded."},
        },
    }
    of_ours = {
        "properties": {
            "exc_type": {"enum": [error.__name__ for error in _STORED_ERRORS]},
            "exc_module": {"const": RequestError.__module__},
            "exc_message": {"type": "array", "prefixItems": [{"type": "string"}, details], "minItems": 2},
        }
    }
    return {
        "type": "object",
        "description": "The error of a request that ended without an answer, as Celery stores exceptions. An error of "
        "the contract has a message and details; any other, such as `TimeLimitExceeded`, has what it has.",
        "required": ["exc_type", "exc_message"],
        "properties": {"exc_type": {"type": "string"}, "exc_module": {"type": "string"}, "exc_message": {}},
        "if": {"properties": {"exc_module": {"const": RequestError.__module__}}, "required": ["exc_module"]},
        "then": of_ours,
    }


def _stored_result(prefix: str) -> JsonSchema:
    results = [{"$ref": f"{prefix}{name_of(task)}Result"} for task in TaskName]
    model = {name: {"type": "string"} for name in ("name", "revision", "arithmetic")}
    return {
        "type": "object",
        "description": "The value under `celery-task-meta-<id>`, which is also published on the channel of that name.",
        "required": ["status", "result", "task_id"],
        "properties": {
            "status": {"type": "string", "description": "SUCCESS, FAILURE and REVOKED are final."},
            "task_id": {"type": "string"},
            "result": {},
            "traceback": {"type": ["string", "null"]},
            "children": {"type": "array"},
            "date_done": {"type": ["string", "null"], "description": "An ISO 8601 time in UTC."},
            "model": {
                "type": "object",
                "description": "The model that answered.",
                "required": list(model),
                "properties": model,
            },
        },
        "allOf": [
            _if_status(["SUCCESS"], {"anyOf": results}),
            _if_status(["FAILURE", "REVOKED"], {"$ref": f"{prefix}StoredError"}),
        ],
    }


def _if_status(states: list[str], result: JsonSchema) -> JsonSchema:
    return {"if": {"properties": {"status": {"enum": states}}}, "then": {"properties": {"result": result}}}


def _error_code() -> JsonSchema:
    known = [code.value for code in ErrorCode]
    return {"type": "string", "description": "One of the codes; a newer worker may have more.", "examples": known}


def _first_paragraph(schema: type) -> str:
    text = (schema.__doc__ or "").partition("\n\n")[0]
    return " ".join(text.split()).replace(":data:`MAX_INPUTS`", "64")


def _without_empty(value: JsonSchema) -> JsonSchema:
    if "anyOf" in value:
        value["anyOf"] = [{key: part for key, part in one.items() if part != ""} for one in value["anyOf"]]
    return value
