"""Whether a message is a Celery task message (protocol 2) that Celery can be trusted with, and what is in it.

Celery 5.7 does not look: a body of two elements, or a ``timelimit`` that is a string, ends the whole worker with
"Unrecoverable error" (celery/celery#7975), and the next worker to receive the message as well. Where it fails with
a ``KeyError``, or with an error of Redis, Celery takes the connection for lost and fetches the message again, for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import Any

from celery.app.task import Context
from celery.utils.time import maybe_iso8601

from producer.contract import MAX_REQUEST_BYTES, VERSION_HEADER, ErrorCode, InvalidRequest
from worker.transport.json_depth import is_deeper_than

__all__ = [
    "decoded_body",
    "find_fault",
    "find_links",
    "find_task_id",
    "find_task_name",
    "is_text",
    "shorten",
    "unreadable",
]

_JSON = "application/json"
#: What a body has beside the request: callbacks, chords and the like.
_MAX_BODY_BYTES = MAX_REQUEST_BYTES + 64 * 1024
_MAX_SHOWN_CHARACTERS = 100
#: A week, in seconds: timers add it to a clock, which fails with what a float cannot hold.
_MAX_LIMIT_S = 7 * 24 * 3600
#: What every reader of JSON takes for an integer.
_MAX_COUNT = 2**53
#: Lists and objects in one another. Celery pickles a message for its pool, which fails at about 490.
_MAX_DEPTH = 100


def find_fault(message: Any) -> InvalidRequest | None:
    """What is wrong with a message, None if nothing is.

    The body is decoded here, and kept by kombu for Celery, which decodes it next in any case.
    """
    return _find_fault_outside(message) or _find_fault_in_headers(message.headers) or _find_fault_in_body(message)


def decoded_body(message: Any) -> Any:
    """The body of a message; None where it cannot be decoded, or must not be."""
    if _find_fault_outside(message) is not None:
        return None
    try:
        return message.payload
    except Exception:  # noqa: BLE001 - kombu wraps some of what its codecs raise, not all
        return None


def find_task_id(message: Any) -> str | None:
    """The id under which the sender waits for a result: in the headers, in the body (protocol 1), or beside both."""
    return _find_text(message, "id") or _text_or_none(_of(message.properties, "correlation_id"))


def find_task_name(message: Any) -> str | None:
    """The name of the task, where the message has one."""
    return _find_text(message, "task")


def find_links(message: Any) -> dict[str, Any]:
    """What has to be told of the end of a request beside its result: its chord, its errbacks, the rest of its chain.

    Empty where the message has none that Celery can be trusted with.
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


def _find_text(message: Any, name: str) -> str | None:
    return _text_or_none(_of(message.headers, name)) or _text_or_none(_of(decoded_body(message), name))


def _of(mapping: Any, name: str) -> Any:
    return mapping.get(name) if isinstance(mapping, dict) else None


def _text_or_none(value: Any) -> str | None:
    return value if is_text(value) else None


def _find_fault_outside(message: Any) -> InvalidRequest | None:
    """What is wrong before anything is decoded."""
    if message.content_type != _JSON:
        return unreadable(f"content type {shorten(message.content_type)} is not {_JSON}", "content-type")
    if not isinstance(message.body, (str, bytes)):
        return unreadable("the message has no body", "body")
    if len(message.body) > _MAX_BODY_BYTES:
        return InvalidRequest.of(
            ErrorCode.TOO_LARGE,
            f"the request has {len(message.body)} bytes as JSON, the limit is {MAX_REQUEST_BYTES}",
            limit=MAX_REQUEST_BYTES,
        )
    if not isinstance(message.headers, dict):
        return unreadable("the message has no headers", "headers")
    return None


def unreadable(problem: str, field: str) -> InvalidRequest:
    """The error for a message that is no request at all."""
    return InvalidRequest.of(ErrorCode.UNREADABLE_MESSAGE, problem, field=field)


def shorten(text: object) -> str:
    """As much of a sender's text as an error may repeat; half a surrogate pair, which no log can hold, is escaped."""
    try:
        shown = str(text)[:_MAX_SHOWN_CHARACTERS]
    except RecursionError:
        return type(text).__name__
    return shown.encode(errors="backslashreplace").decode()


def is_text(value: Any) -> bool:
    """Whether a value is a string that is not empty and that a key in Redis can hold."""
    if not isinstance(value, str) or not value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _find_fault_in_headers(headers: dict[str, Any]) -> InvalidRequest | None:
    for name, is_right in _HEADERS.items():
        if not is_right(headers.get(name)):
            return unreadable(f"header {name} has a value that no worker can use", name)
    for name in sorted(_OWN_NAMES & headers.keys()):
        return unreadable(f"header {name} has a name that Celery keeps to itself", name)
    return _find_depth(headers, "headers")


def _find_fault_in_body(message: Any) -> InvalidRequest | None:
    try:
        body = message.payload
    except Exception as error:  # noqa: BLE001 - kombu wraps some of what its codecs raise, not all
        return unreadable(f"the body cannot be decoded ({type(error).__name__})", "body")
    match body:
        case [list(), dict(), dict() | None]:
            return _find_fault_in_options(body[2] or {}, message.headers) or _find_depth(body, "body")
        case _:
            return unreadable("the body is not [args, kwargs, options]", "body")


def _find_fault_in_options(options: dict[str, Any], headers: dict[str, Any]) -> InvalidRequest | None:
    for name, is_right in _LINKS.items():
        # Celery takes the header of that name where the options lack it.
        if not is_right(options.get(name, headers.get(name))):
            return unreadable(f"{name} has a value that no worker can use", "body" if name in options else name)
    for name in sorted(_REQUEST_NAMES & options.keys()):
        return unreadable(f"option {name} of the body is none that Celery sends", "body")
    return None


def _find_depth(value: Any, field: str) -> InvalidRequest | None:
    if not is_deeper_than(_MAX_DEPTH, value):
        return None
    return unreadable(f"{field}: more than {_MAX_DEPTH} lists and objects are in one another", field)


def _is_text_or_none(value: Any) -> bool:
    return value is None or value == "" or is_text(value)


def _is_moment_or_none(value: Any) -> bool:
    if value is None:
        return True
    if not is_text(value):
        return False
    try:
        moment = maybe_iso8601(value)
        (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except Exception:  # noqa: BLE001 - what this parser raises here it would raise in Celery, which catches some of it
        return False
    return True


def _is_count_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT)


def _is_flag_or_none(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _is_limit(value: Any) -> bool:
    return value is None or (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _MAX_LIMIT_S
    )


def _are_limits(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and len(value) == len(("hard", "soft")) and all(map(_is_limit, value))
    )


def _are_texts_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(map(is_text, value)))


def _is_object_or_none(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _are_objects_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(element, dict) for element in value))


_HEADERS: dict[str, Callable[[Any], bool]] = {
    "task": is_text,
    "id": is_text,
    "root_id": _is_text_or_none,
    "parent_id": _is_text_or_none,
    "group": _is_text_or_none,
    "group_index": _is_count_or_none,
    "eta": _is_moment_or_none,
    "expires": _is_moment_or_none,
    "shadow": _is_text_or_none,
    "retries": _is_count_or_none,
    "timelimit": _are_limits,
    "ignore_result": _is_flag_or_none,
    "stamped_headers": _are_texts_or_none,
    "stamps": _is_object_or_none,
    VERSION_HEADER: _is_count_or_none,
}

#: What Celery sends in the options of the body.
_LINKS: dict[str, Callable[[Any], bool]] = {
    "callbacks": _are_objects_or_none,
    "errbacks": _are_objects_or_none,
    "chain": _are_objects_or_none,
    "chord": _is_object_or_none,
}

#: Headers and options become attributes of Celery's ``Context``: these would take the place of its methods.
_OWN_NAMES = {name for name, value in vars(Context).items() if name.startswith("_") or callable(value)}
#: As an option each of these would override what was checked as a header.
_REQUEST_NAMES = vars(Context).keys() - _LINKS.keys()
