"""Decodes a list element into a kombu message, or says why it is malformed.

kombu decodes what it has popped without catching errors: an element that is not JSON, or lacks what kombu writes, ends
the worker. The fetch script finds most of these. Python and the script's decoder do not agree about all JSON, so what
passes the script is checked again here.
"""

from __future__ import annotations

import json
import re
from typing import Any

from kombu.transport import virtual
from kombu.utils.json import loads

from worker.transport.json_depth import is_deeper_than

__all__ = ["MAX_DEPTH", "MalformedMessageError", "Message", "decode", "task_id_in"]

#: How deep lists and objects may be nested. Python's JSON fails at about 900, and pickle, with which Celery's pool
#: sends a message, at about 490.
MAX_DEPTH = 400
#: kombu's mark of a value that JSON lacks, such as a date. Only then does decoding need kombu's hook.
_TYPE_MARK = b"__type__"
_ESCAPE = b"\\u"
#: Only ids like Celery's own: anything else could be part of the sender's text.
_TASK_ID = re.compile(rb'"id": ?"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')


class MalformedMessageError(Exception):
    """A list element is not a kombu message. Says why, and nothing of its content."""


class Message(virtual.Message):
    """kombu's message.

    Raises:
        MalformedMessageError: the payload is not a message, for example because its body is not valid base64.
    """

    def __init__(self, payload: dict[str, Any], channel: Any = None, **options: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **options)
        except Exception as error:  # noqa: BLE001 - unknown codecs and invalid bodies raise errors of many types
            raise MalformedMessageError(f"not a message ({type(error).__name__})") from None


def decode(raw: bytes, tag: bytes) -> dict[str, Any]:
    """Decode a list element.

    Args:
        raw: the element.
        tag: the delivery tag that the fetch script read from it and recorded.

    Returns:
        The payload, from which kombu makes a message.

    Raises:
        MalformedMessageError: kombu, Celery or an acknowledgement could not work with it.
    """
    try:
        text = raw.decode()
        payload = loads(text) if _TYPE_MARK in raw or _ESCAPE in raw else json.loads(text)
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        raise MalformedMessageError(f"not JSON that Python can read ({type(error).__name__})") from None
    if problem := _find_problem(payload, tag):
        raise MalformedMessageError(problem)
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and is_deeper_than(MAX_DEPTH, payload):
        raise MalformedMessageError(f"nested more than {MAX_DEPTH} levels deep")
    return payload  # type: ignore[no-any-return]


def task_id_in(raw: bytes) -> str | None:
    """The task id in a message that cannot be decoded, if there is one to be seen."""
    found = _TASK_ID.search(raw)
    return found[1].decode() if found else None


def _find_problem(payload: Any, tag: bytes) -> str | None:
    match payload:
        case {"properties": {"delivery_tag": str(found), "delivery_info": {"exchange": str(), "routing_key": str()}}}:
            pass
        case _:
            return "no properties, delivery tag or delivery info"
    if found.encode(errors="replace") != tag:
        return "two delivery tags, or one that is not valid UTF-8"
    if not isinstance(payload.get("headers"), (dict, type(None))):
        return "the headers are not an object"
    if any(not isinstance(payload.get(name), (str, type(None))) for name in ("content-type", "content-encoding")):
        return "the content type or encoding is not a string"
    return None
