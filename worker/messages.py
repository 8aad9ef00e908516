"""Whether a message is a Celery task message (protocol 2) that Celery can be trusted with.

Celery 5.7 does not look: a body of two elements, or a ``timelimit`` that is a string, ends the whole worker with
"Unrecoverable error" (celery/celery#7975), and the next worker to receive the message as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from producer.contract import MAX_REQUEST_BYTES, ErrorCode, InvalidRequest

__all__ = ["find_fault", "shorten", "unreadable"]

_JSON = "application/json"
#: What a body has beside the request: callbacks, chords and the like.
_MAX_BODY_BYTES = MAX_REQUEST_BYTES + 64 * 1024
_MAX_SHOWN_CHARACTERS = 100


def find_fault(message: Any) -> InvalidRequest | None:
    """What is wrong with a message, None if nothing is.

    The body is decoded here, and kept by kombu for Celery, which decodes it next in any case.
    """
    if message.content_type != _JSON:
        return unreadable(f"content type {shorten(message.content_type)} is not {_JSON}", "content-type")
    if len(message.body) > _MAX_BODY_BYTES:
        return InvalidRequest.of(
            ErrorCode.TOO_LARGE,
            f"the request has {len(message.body)} bytes as JSON, the limit is {MAX_REQUEST_BYTES}",
            limit=MAX_REQUEST_BYTES,
        )
    headers = message.headers
    if not isinstance(headers, dict):
        return unreadable("the message has no headers", "headers")
    for name, is_right in _HEADERS.items():
        if not is_right(headers.get(name)):
            return unreadable(f"header {name} has a value that Celery's protocol 2 does not have", name)
    return _find_fault_in_body(message)


def unreadable(problem: str, field: str) -> InvalidRequest:
    """The error for a message that is no request at all."""
    return InvalidRequest.of(ErrorCode.UNREADABLE_MESSAGE, problem, field=field)


def shorten(text: object) -> str:
    """As much of a sender's text as an error may repeat."""
    return str(text)[:_MAX_SHOWN_CHARACTERS]


def _find_fault_in_body(message: Any) -> InvalidRequest | None:
    try:
        body = message.payload
    except Exception as error:  # noqa: BLE001 - kombu wraps some of what its codecs raise, not all
        return unreadable(f"the body cannot be decoded ({type(error).__name__})", "body")
    match body:
        case [list(), dict(), dict() | None]:
            return None
        case _:
            return unreadable("the body is not [args, kwargs, options]", "body")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_count_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _is_limit(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0)


def _are_limits(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and len(value) == len(("hard", "soft")) and all(map(_is_limit, value))
    )


def _is_list_or_none(value: Any) -> bool:
    return value is None or isinstance(value, list)


def _is_object_or_none(value: Any) -> bool:
    return value is None or isinstance(value, dict)


_HEADERS: dict[str, Callable[[Any], bool]] = {
    "task": _is_text,
    "id": _is_text,
    "root_id": _is_text_or_none,
    "parent_id": _is_text_or_none,
    "group": _is_text_or_none,
    "eta": _is_text_or_none,
    "expires": _is_text_or_none,
    "shadow": _is_text_or_none,
    "retries": _is_count_or_none,
    "timelimit": _are_limits,
    "stamped_headers": _is_list_or_none,
    "stamps": _is_object_or_none,
}
