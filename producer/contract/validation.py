"""Turns pydantic's validation errors into one :class:`~producer.errors.InvalidRequest` with the field and the limit.

No message repeats a request's text: errors are logged, stored and shown in Flower.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails as PydanticError
from pydantic_core import PydanticCustomError

from producer.contract.limits import MAX_REQUEST_BYTES
from producer.errors import ErrorCode, InvalidRequest

__all__ = ["check_text", "errors_by_item", "invalid_request", "too_large"]

#: The tags of union branches in pydantic's locations, which are not part of the caller's structure.
_UNION_TAGS = frozenset({"one", "many"})
#: How much of a parameter's name a message repeats, in characters.
_MAX_NAME_CHARACTERS = 64

#: Our code for pydantic's error types. A type that is neither here nor a code of ours is a wrong type.
_CODES = {
    "missing": ErrorCode.MISSING,
    "extra_forbidden": ErrorCode.UNKNOWN_PARAMETER,
    "string_too_long": ErrorCode.TOO_LONG,
    "too_long": ErrorCode.TOO_MANY,
    "too_short": ErrorCode.EMPTY,
    "literal_error": ErrorCode.NOT_ALLOWED,
    "greater_than_equal": ErrorCode.OUT_OF_RANGE,
    "less_than_equal": ErrorCode.OUT_OF_RANGE,
    "string_unicode": ErrorCode.INVALID_CHARACTER,
}
#: Where the context of a pydantic error has the limit.
_LIMIT_KEYS = ("max_length", "min_length", "ge", "le", "expected", "limit")


def check_text(text: str) -> str:
    """Return a text that a tokenizer can read.

    Raises:
        PydanticCustomError: the text is empty, or contains NUL or an unpaired surrogate.
    """
    if not text:
        raise PydanticCustomError(ErrorCode.EMPTY.value, "must not be empty")
    if "\x00" in text:
        raise PydanticCustomError(ErrorCode.INVALID_CHARACTER.value, "must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PydanticCustomError(
            ErrorCode.INVALID_CHARACTER.value,
            "must not contain an unpaired surrogate; there is one at index {index}",
            {"index": error.start},
        ) from None
    return text


def invalid_request(
    error: ValidationError, arguments: Mapping[str, object], *, known: Collection[str]
) -> InvalidRequest:
    """One error for all that pydantic found: the unknown parameters together, or else its first error.

    Args:
        error: what pydantic raised.
        arguments: the keyword arguments that were validated; only their structure is read.
        known: the names of the parameters that exist.
    """
    found = error.errors(include_url=False, include_input=False)
    unknown = [_printable(item["loc"][0]) for item in found if _is_unknown_parameter(item)]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        return InvalidRequest.of(
            ErrorCode.UNKNOWN_PARAMETER,
            f"unknown parameter{plural} {', '.join(unknown)}; the parameters are {', '.join(sorted(known))}",
            field=unknown[0],
        )
    return _convert(found[0], arguments)


def errors_by_item(
    error: ValidationError, arguments: Mapping[str, object], *, fields: Collection[str]
) -> dict[int, InvalidRequest] | None:
    """The errors of single items, by index; None if anything other than an item is at fault.

    Args:
        error: what pydantic raised.
        arguments: the keyword arguments that were validated; only their structure is read.
        fields: the parameters that hold one value per item.
    """
    by_item: dict[int, InvalidRequest] = {}
    for found in error.errors(include_url=False, include_input=False):
        match [part for part in found["loc"] if part not in _UNION_TAGS]:
            case [name, int(index), *_] if name in fields:
                by_item.setdefault(index, _convert(found, arguments))
            case _:
                return None
    return by_item


def too_large(size_bytes: int) -> InvalidRequest:
    """The error for a request whose message body exceeds ``MAX_REQUEST_BYTES``.

    Args:
        size_bytes: size of the body.
    """
    return InvalidRequest.of(
        ErrorCode.TOO_LARGE,
        f"the request is {size_bytes} bytes as JSON; the limit is {MAX_REQUEST_BYTES} bytes",
        limit=MAX_REQUEST_BYTES,
    )


def _convert(found: PydanticError, arguments: Mapping[str, object]) -> InvalidRequest:
    field = _path(found["loc"], arguments)
    context = found.get("ctx", {})
    limit = next((context[key] for key in _LIMIT_KEYS if key in context), None)
    message = found["msg"]
    return InvalidRequest.of(
        _code(found["type"]),
        f"{field}: {message[0].lower()}{message[1:]}" if field else message,
        field=field or None,
        limit=limit,
    )


def _is_unknown_parameter(found: PydanticError) -> bool:
    return found["type"] == "extra_forbidden" and len(found["loc"]) == 1


def _code(kind: str) -> ErrorCode:
    if kind in _CODES:
        return _CODES[kind]
    try:
        return ErrorCode(kind)
    except ValueError:
        return ErrorCode.WRONG_TYPE


def _path(location: tuple[int | str, ...], arguments: object) -> str:
    """``inputs[3].text`` from pydantic's location, no deeper than the caller's own structure."""
    path = ""
    here = arguments
    for part in location:
        if part in _UNION_TAGS:
            continue
        if isinstance(here, str):
            break
        if isinstance(part, int):
            path += f"[{part}]"
            here = here[part] if isinstance(here, list) and part < len(here) else None
        else:
            path += f".{_printable(part)}" if path else _printable(part)
            here = here.get(part) if isinstance(here, Mapping) else None
    return path


def _printable(part: int | str) -> str:
    """A name as a message may repeat it: printable, and not too long."""
    text = str(part)
    printable = "".join(c if c.isprintable() else "?" for c in text[:_MAX_NAME_CHARACTERS])
    return printable + ("…" if len(text) > _MAX_NAME_CHARACTERS else "")
