"""Reads what it can of the envelope of a dead letter, and makes it anew for another delivery. Imports no kombu."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

__all__ = ["EnvelopeFacts", "facts_of", "renewed", "split_record"]

#: kombu's record of an unacknowledged message: envelope, exchange, routing key. There is one way to read it from its
#: end, since a JSON string has no bare quote inside. After it there may be the mark of a lease.
_STRING = rb'"(?:[^"\\]|\\.)*"'
_RECORD = re.compile(rb"\[(.*), ?(%s), ?(%s)\][ \t\n\r]*" % (_STRING, _STRING), re.DOTALL)
#: What Python's decoder and encoder raise.
_UNREADABLE = (ValueError, TypeError, RecursionError)
_MAX_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class EnvelopeFacts:
    """What an envelope says of its task; empty where it says nothing that can be read.

    Attributes:
        task: name of the task.
        task_id: the id under which its sender waits.
        priority: the priority that its sender gave; 0 if none.
    """

    task: str = ""
    task_id: str = ""
    priority: int = 0


def split_record(record: bytes) -> tuple[bytes, str, str]:
    """The envelope in a record, byte for byte, its exchange and its routing key.

    A record of another form is returned whole, with no exchange and no routing key.
    """
    found = _RECORD.fullmatch(record)
    try:
        return (found[1], json.loads(found[2]), json.loads(found[3])) if found else (record, "", "")
    except _UNREADABLE:
        return record, "", ""


def facts_of(envelope: bytes) -> EnvelopeFacts:
    """What an envelope says of its task, in protocol 2, or in the body of protocol 1."""
    payload = _read(envelope)
    properties, headers = _object(payload, "properties"), _object(payload, "headers")
    body = {} if "task" in headers else _body(payload, properties)
    priority = properties.get("priority")
    return EnvelopeFacts(
        task=_text(headers.get("task")) or _text(body.get("task")),
        task_id=_text(headers.get("id")) or _text(body.get("id")) or _text(properties.get("correlation_id")),
        priority=priority if isinstance(priority, int) else 0,
    )


def renewed(envelope: bytes) -> bytes:
    """The envelope for another delivery: a new delivery tag, and no mark of an earlier one.

    What the envelope says besides stays, its body to the byte. An envelope that Python cannot read is returned as it
    is.
    """
    payload = _read(envelope)
    properties = _object(payload, "properties")
    if not properties:
        return envelope
    properties["delivery_tag"] = str(uuid4())
    for marked in (_object(payload, "headers"), _object(properties, "delivery_info")):
        marked.pop("redelivered", None)
    try:
        return json.dumps(payload).encode()
    except _UNREADABLE:
        return envelope


def _read(envelope: bytes) -> Any:
    try:
        return json.loads(envelope.decode())
    except _UNREADABLE:
        return None


def _object(value: object, name: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _body(payload: Any, properties: dict[str, Any]) -> dict[str, Any]:
    body = payload.get("body") if isinstance(payload, dict) else None
    if not isinstance(body, str):
        return {}
    try:
        found = json.loads(base64.b64decode(body) if properties.get("body_encoding") == "base64" else body)
    except _UNREADABLE:
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    shown = value[:_MAX_SHOWN_CHARACTERS] if isinstance(value, str) else ""
    return shown.encode(errors="backslashreplace").decode()
