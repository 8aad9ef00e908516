"""Bytes on a list → a kombu message, or a reason why they are none.

kombu decodes what it has popped with nothing around it: an element that is not JSON, or lacks what kombu writes, ends
the worker. The fetch script finds most of these; it and Python do not agree about all JSON, so that what passes it is
checked once more here.
"""

from __future__ import annotations

import json
import re
from typing import Any

from kombu.transport import virtual
from kombu.utils.json import loads

from worker.transport.json_depth import is_deeper_than

__all__ = ["MAX_DEPTH", "MalformedMessageError", "Message", "decode", "find_task_id"]

#: Lists and objects in one another. Python's JSON ends at about 900, pickle (Celery's way to its pool) at about 490.
MAX_DEPTH = 400
#: kombu's mark of a value that JSON does not have; only with it does decoding need kombu's hook.
_TYPE_MARK = b"__type__"
_ESCAPE = b"\\u"
#: Only what Celery's own ids look like: anything else could be a piece of the sender's text.
_TASK_ID = re.compile(rb'"id": ?"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')


class MalformedMessageError(Exception):
    """A list element that is no kombu message; says why, and nothing of its content."""


class Message(virtual.Message):
    """kombu's message; one that cannot be made says that the sender is at fault."""

    def __init__(self, payload: dict[str, Any], channel: Any = None, **options: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **options)
        except Exception as error:  # noqa: BLE001 - no such codec, a body that is no base64: of all types
            raise MalformedMessageError(f"not a message ({type(error).__name__})") from None


def decode(raw: bytes, tag: bytes) -> dict[str, Any]:
    """The message that ``raw`` holds.

    Args:
        raw: a list element.
        tag: the delivery tag that the fetch script read and recorded.

    Raises:
        MalformedMessageError: it holds none that kombu, Celery and an acknowledgement can work with.
    """
    try:
        text = raw.decode()
        payload = loads(text) if _TYPE_MARK in raw or _ESCAPE in raw else json.loads(text)
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        raise MalformedMessageError(f"not JSON that Python reads ({type(error).__name__})") from None
    if problem := _find_problem(payload, tag):
        raise MalformedMessageError(problem)
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and is_deeper_than(MAX_DEPTH, payload):
        raise MalformedMessageError(f"more than {MAX_DEPTH} lists and objects in one another")
    return payload  # type: ignore[no-any-return]


def find_task_id(raw: bytes) -> str | None:
    """The id of a message that cannot be decoded, where it can be seen."""
    found = _TASK_ID.search(raw)
    return found[1].decode() if found else None


def _find_problem(payload: Any, tag: bytes) -> str | None:
    match payload:
        case {"properties": {"delivery_tag": str(found), "delivery_info": {"exchange": str(), "routing_key": str()}}}:
            pass
        case _:
            return "no properties, delivery tag or delivery information"
    if found.encode(errors="replace") != tag:
        return "two delivery tags, or one that no key can hold"
    if not isinstance(payload.get("headers"), (dict, type(None))):
        return "headers are no object"
    if any(not isinstance(payload.get(name), (str, type(None))) for name in ("content-type", "content-encoding")):
        return "the content type or encoding is no text"
    return None
