"""Checks that a message is a Celery task message (protocol 2) that Celery can process, and reads its parts.

Celery 5.7 does not validate messages. A body of two elements, or a ``timelimit`` that is a string, ends the whole
worker with "Unrecoverable error" (celery/celery#7975), and then the next worker that receives the message. When a
message makes it raise a ``KeyError`` or an error of Redis, Celery takes the connection for lost and fetches the message
again, forever.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import Any, TypeGuard

from celery.app.task import Context
from celery.utils.time import maybe_iso8601
from kombu.message import Message

from producer.contract import MAX_REQUEST_BYTES, VERSION_HEADER, ErrorCode, InvalidRequest, too_large
from worker.transport.json_depth import is_deeper_than

__all__ = [
    "decoded_body",
    "find_fault",
    "find_links",
    "find_task_id",
    "find_task_name",
    "is_decodable",
    "is_text",
    "shorten",
    "unreadable_message",
]

_JSON = "application/json"
#: Limit of a body, which contains callbacks, chords and the like in addition to the request.
_MAX_BODY_BYTES = MAX_REQUEST_BYTES + 64 * 1024
_MAX_SHOWN_CHARACTERS = 100
#: Longest time limit, in seconds (a week). Timers add it to a clock, which fails for values that a float cannot hold.
_MAX_TIME_LIMIT_S = 7 * 24 * 3600
#: The largest integer that every JSON parser reads exactly.
_MAX_COUNT = 2**53
#: Nesting levels of lists and objects. Celery pickles messages for its pool, which fails at about 490.
_MAX_DEPTH = 100


def find_fault(message: Message) -> InvalidRequest | None:
    """What is wrong with a message; None if nothing is.

    This decodes the body, which kombu caches for Celery.
    """
    return _find_fault_in_envelope(message) or _find_fault_in_headers(message.headers) or _find_fault_in_body(message)


def decoded_body(message: Message) -> Any:
    """The body of a message; None if it cannot be decoded, or must not be."""
    return None if _find_fault_in_envelope(message) else _decode(message)[0]


def is_decodable(message: Message) -> bool:
    """Whether the body of a message can be decoded."""
    return _decode(message)[1] is None


def find_task_id(message: Message) -> str | None:
    """The id under which the sender waits for a result, from the headers, the body (protocol 1) or the properties."""
    return _find_text(message, "id") or _text_or_none(_get(message.properties, "correlation_id"))


def find_task_name(message: Message) -> str | None:
    """The name of the task; None if the message has none."""
    return _find_text(message, "task")


def find_links(message: Message) -> dict[str, Any]:
    """The parts of a canvas that depend on the end of a request: its chord, its errbacks, the rest of its chain.

    Empty if the message has none that Celery can process.
    """
    headers, body = message.headers, decoded_body(message)
    match body:
        case [list(), dict(), dict() as options] if isinstance(headers, dict):
            pass
        case _:
            return {}
    names = ("group", "group_index")
    if _find_fault_in_options(options, headers) or any(not _HEADERS[name](headers.get(name)) for name in names):
        return {}
    return {name: options.get(name) for name in _LINKS} | {name: headers.get(name) for name in names}


def _find_text(message: Message, name: str) -> str | None:
    return _text_or_none(_get(message.headers, name)) or _text_or_none(_get(decoded_body(message), name))


def _get(mapping: object, name: str) -> Any:
    return mapping.get(name) if isinstance(mapping, dict) else None


def _decode(message: Message) -> tuple[Any, Exception | None]:
    """The body, or the error that decoding it raises."""
    try:
        return message.payload, None
    except Exception as error:  # noqa: BLE001 - kombu wraps only some of the errors that its codecs raise
        return None, error


def _text_or_none(value: object) -> str | None:
    return value if is_text(value) else None


def _find_fault_in_envelope(message: Message) -> InvalidRequest | None:
    """What can be found wrong before anything is decoded."""
    if message.content_type != _JSON:
        return unreadable_message(f"content type {shorten(message.content_type)} is not {_JSON}", "content-type")
    if not isinstance(message.body, (str, bytes)):
        return unreadable_message("the message has no body", "body")
    if len(message.body) > _MAX_BODY_BYTES:
        return too_large(len(message.body))
    if not isinstance(message.headers, dict):
        return unreadable_message("the message has no headers", "headers")
    return None


def unreadable_message(problem: str, field: str) -> InvalidRequest:
    """The error for a message that is not a task message."""
    return InvalidRequest.of(ErrorCode.UNREADABLE_MESSAGE, problem, field=field)


def shorten(text: object) -> str:
    """The beginning of a sender's text, as much as an error may repeat; unpaired surrogates are escaped for the log."""
    try:
        shown = str(text)[:_MAX_SHOWN_CHARACTERS]
    except RecursionError:
        return type(text).__name__
    return shown.encode(errors="backslashreplace").decode()


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value is a non-empty string that can be part of a Redis key."""
    if not isinstance(value, str) or not value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _find_fault_in_headers(headers: dict[str, Any]) -> InvalidRequest | None:
    for name, is_valid in _HEADERS.items():
        if not is_valid(headers.get(name)):
            return unreadable_message(f"header {name} has an invalid value", name)
    for name in sorted(_RESERVED_NAMES & headers.keys()):
        return unreadable_message(f"header {name} is not allowed: Celery reserves this name", name)
    return _find_depth(headers, "headers")


def _find_fault_in_body(message: Message) -> InvalidRequest | None:
    body, error = _decode(message)
    if error is not None:
        return unreadable_message(f"the body cannot be decoded ({type(error).__name__})", "body")
    match body:
        case [list(), dict(), dict() | None]:
            return _find_fault_in_options(body[2] or {}, message.headers) or _find_depth(body, "body")
        case _:
            return unreadable_message("the body is not [args, kwargs, options]", "body")


def _find_fault_in_options(options: dict[str, Any], headers: dict[str, Any]) -> InvalidRequest | None:
    for name, is_valid in _LINKS.items():
        # Celery falls back to the header of the same name.
        if not is_valid(options.get(name, headers.get(name))):
            return unreadable_message(f"{name} has an invalid value", "body" if name in options else name)
    for name in sorted(_FIELDS_OF_HEADERS & options.keys()):
        return unreadable_message(f"the body has the option {name}, which belongs in the headers", "body")
    return None


def _find_depth(value: Any, field: str) -> InvalidRequest | None:
    if not is_deeper_than(_MAX_DEPTH, value):
        return None
    return unreadable_message(f"{field}: nested more than {_MAX_DEPTH} levels deep", field)


def _is_text_or_none(value: object) -> bool:
    return value is None or value == "" or is_text(value)


def _is_time_or_none(value: object) -> bool:
    if value is None:
        return True
    if not is_text(value):
        return False
    try:
        parsed = maybe_iso8601(value)
        (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except Exception:  # noqa: BLE001 - Celery calls the same parser, and catches only some of its errors
        return False
    return True


def _is_count_or_none(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT)


def _is_bool_or_none(value: object) -> bool:
    return value is None or isinstance(value, bool)


def _is_time_limit(value: object) -> bool:
    return value is None or (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _MAX_TIME_LIMIT_S
    )


def _are_time_limits(value: object) -> bool:
    return value is None or (
        isinstance(value, list) and len(value) == len(("hard", "soft")) and all(map(_is_time_limit, value))
    )


def _are_texts_or_none(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(map(is_text, value)))


def _is_object_or_none(value: object) -> bool:
    return value is None or isinstance(value, dict)


def _are_objects_or_none(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(element, dict) for element in value))


_HEADERS: dict[str, Callable[[object], bool]] = {
    "task": is_text,
    "id": is_text,
    "root_id": _is_text_or_none,
    "parent_id": _is_text_or_none,
    "group": _is_text_or_none,
    "group_index": _is_count_or_none,
    "eta": _is_time_or_none,
    "expires": _is_time_or_none,
    "shadow": _is_text_or_none,
    "retries": _is_count_or_none,
    "timelimit": _are_time_limits,
    "ignore_result": _is_bool_or_none,
    "stamped_headers": _are_texts_or_none,
    "stamps": _is_object_or_none,
    VERSION_HEADER: _is_count_or_none,
}

#: The options that Celery sends in the body.
_LINKS: dict[str, Callable[[object], bool]] = {
    "callbacks": _are_objects_or_none,
    "errbacks": _are_objects_or_none,
    "chain": _are_objects_or_none,
    "chord": _is_object_or_none,
}

#: Headers and options become attributes of Celery's ``Context``. These would replace its methods.
_RESERVED_NAMES = {name for name, value in vars(Context).items() if name.startswith("_") or callable(value)}
#: As an option, each of these would override a header that has been checked.
_FIELDS_OF_HEADERS = vars(Context).keys() - _LINKS.keys()
