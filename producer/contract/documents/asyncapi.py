"""The contract as an AsyncAPI 3.0 document: the queues of each task, their messages, and the channel of a result."""

from __future__ import annotations

import json
from typing import Any

from producer.contract.documents.json_schema import JsonSchema, definitions, name_of
from producer.contract.names import CONTRACT_VERSION, QueueClass, TaskName, queue_name

__all__ = ["asyncapi"]

_SCHEMAS = "#/components/schemas/"
_RESULT_CHANNEL = "result"


def asyncapi() -> JsonSchema:
    """The whole document, from the workers' view: they receive requests and send results."""
    channels: JsonSchema = {}
    operations: JsonSchema = {}
    for task in TaskName:
        for queue_class in QueueClass:
            name = f"{name_of(task)}{queue_class.name.title()}"
            channels[name] = _queue(task, queue_class)
            operations[f"answer{name}"] = _answer(name, task)
    channels[_RESULT_CHANNEL] = _results()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Celeriac",
            "version": f"{CONTRACT_VERSION}.0.0",
            "description": "Transformer inference behind Redis lists, in the format of Celery (protocol 2, JSON). A "
            "request is pushed with LPUSH. Its result is stored under the address of the channel `result`, and "
            "published on it: subscribe, then GET, then listen.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "redis": {
                "host": "localhost:6379",
                "protocol": "redis",
                "description": "A Redis or Valkey server, also by TLS (`rediss`). Results may be on another one.",
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _queue(task: TaskName, queue_class: QueueClass) -> JsonSchema:
    before = "bulk requests" if queue_class is QueueClass.INTERACTIVE else "nothing else"
    message = f"{name_of(task)}Message"
    return {
        "address": queue_name(task, queue_class),
        "description": f"A Redis list of {queue_class.value} requests, which are served before {before}.",
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _results() -> JsonSchema:
    names = [f"{name_of(task)}StoredResult" for task in TaskName]
    return {
        "address": "celery-task-meta-{id}",
        "description": "A key with the stored result, which expires, and the channel on which it is published once.",
        "parameters": {"id": {"description": "The header `id` of the request.", "location": "$message.header#/id"}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }


def _answer(channel: str, task: TaskName) -> JsonSchema:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name_of(task)}Message"}],
        "reply": {
            "channel": {"$ref": f"#/channels/{_RESULT_CHANNEL}"},
            "messages": [{"$ref": f"#/channels/{_RESULT_CHANNEL}/messages/{name_of(task)}StoredResult"}],
        },
    }


def _messages() -> JsonSchema:
    found: JsonSchema = {}
    for task in TaskName:
        name = name_of(task)
        found[f"{name}Message"] = {
            "name": f"{name}Message",
            "title": f"A request of {task.value}",
            "payload": {"$ref": f"{_SCHEMAS}{name}Message"},
        }
        found[f"{name}StoredResult"] = {
            "name": f"{name}StoredResult",
            "title": f"The result of a request of {task.value}",
            "payload": {"$ref": f"{_SCHEMAS}StoredResult"},
        }
    return found


def _schemas() -> JsonSchema:
    """Our definitions as AsyncAPI's schemas, which are those of draft 07 as far as lists of given elements go."""
    schemas = definitions(_SCHEMAS)
    common = schemas.pop("Message")
    for task in TaskName:
        message = json.loads(json.dumps(common))
        (arguments,) = [{"$ref": f"{_SCHEMAS}{name_of(task)}Request"}]
        content = message["properties"]["body"].pop("contentSchema")
        content["prefixItems"][1] = arguments
        # Draft 07 cannot say it of an encoded string.
        message["properties"]["body"]["x-decoded"] = content
        schemas[f"{name_of(task)}Message"] = message
    converted: JsonSchema = _as_draft_07(dict(sorted(schemas.items())))
    return converted


def _as_draft_07(value: Any) -> Any:
    if isinstance(value, dict):
        return {"items" if key == "prefixItems" else key: _as_draft_07(part) for key, part in value.items()}
    return [_as_draft_07(part) for part in value] if isinstance(value, list) else value
