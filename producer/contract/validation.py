"""From pydantic's findings to one :class:`~producer.errors.InvalidRequest` that names the field and the limit.

No message repeats a request's text: errors are logged, stored and shown in Flower.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails as Finding
from pydantic_core import PydanticCustomError

from producer.errors import ErrorCode, InvalidRequest

__all__ = ["check_text", "findings_by_item", "invalid_request"]

#: Names of the branches of a union in pydantic's locations; not part of the caller's structure.
_UNION_BRANCHES = frozenset({"one", "many"})
#: Longest parameter name repeated in a message, in characters.
_MAX_NAME_CHARACTERS = 64

#: pydantic's error types that do not end in ``_type``, by our code.
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
_LIMITS = ("max_length", "min_length", "ge", "le", "expected", "limit")


def check_text(text: str) -> str:
    """Refuse what no tokenizer can read: nothing at all, NUL, and half a surrogate pair."""
    if not text:
        raise PydanticCustomError(ErrorCode.EMPTY.value, "must not be empty")
    if "\x00" in text:
        raise PydanticCustomError(ErrorCode.INVALID_CHARACTER.value, "must not contain NUL")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PydanticCustomError(
            ErrorCode.INVALID_CHARACTER.value,
            "has half a surrogate pair at character {position}",
            {"position": error.start},
        ) from None
    return text


def invalid_request(error: ValidationError, arguments: Mapping[str, Any], *, known: Collection[str]) -> InvalidRequest:
    """One error for all findings: the unknown parameters together, or else the first finding.

    Args:
        error: what pydantic found.
        arguments: the keyword arguments that it looked at; only their structure is read.
        known: the names of the parameters that exist.
    """
    findings = error.errors(include_url=False, include_input=False)
    unknown = [_name(finding["loc"][0]) for finding in findings if _is_unknown_parameter(finding)]
    if unknown:
        return InvalidRequest.of(
            ErrorCode.UNKNOWN_PARAMETER,
            f"unknown parameter {', '.join(unknown)}; known are {', '.join(sorted(known))}",
            field=unknown[0],
        )
    return _as_error(findings[0], arguments)


def findings_by_item(
    error: ValidationError, arguments: Mapping[str, Any], *, fields: Collection[str]
) -> dict[int, InvalidRequest] | None:
    """The errors of single items of the lists in ``fields``, by index; None where anything else is at fault."""
    by_item: dict[int, InvalidRequest] = {}
    for finding in error.errors(include_url=False, include_input=False):
        match [part for part in finding["loc"] if part not in _UNION_BRANCHES]:
            case [name, int(index), *_] if name in fields:
                by_item.setdefault(index, _as_error(finding, arguments))
            case _:
                return None
    return by_item


def _as_error(finding: Finding, arguments: Mapping[str, Any]) -> InvalidRequest:
    field = _path(finding["loc"], arguments)
    context = finding.get("ctx", {})
    limit = next((context[name] for name in _LIMITS if name in context), None)
    message = finding["msg"]
    return InvalidRequest.of(
        _code(finding["type"]),
        f"{field}: {message[0].lower()}{message[1:]}" if field else message,
        field=field or None,
        limit=limit,
    )


def _is_unknown_parameter(finding: Finding) -> bool:
    return finding["type"] == "extra_forbidden" and len(finding["loc"]) == 1


def _code(kind: str) -> ErrorCode:
    if kind in _CODES:
        return _CODES[kind]
    try:
        return ErrorCode(kind)
    except ValueError:
        return ErrorCode.WRONG_TYPE


def _path(location: tuple[int | str, ...], arguments: Any) -> str:
    """``inputs[3].text`` from pydantic's location, no deeper than the caller's own structure goes."""
    path = ""
    here = arguments
    for part in location:
        if part in _UNION_BRANCHES:
            continue
        if isinstance(here, str):
            break
        if isinstance(part, int):
            path += f"[{part}]"
            here = here[part] if isinstance(here, list) and part < len(here) else None
        else:
            path += f".{_name(part)}" if path else _name(part)
            here = here.get(part) if isinstance(here, Mapping) else None
    return path


def _name(part: int | str) -> str:
    text = str(part)
    printable = "".join(c if c.isprintable() else "?" for c in text[:_MAX_NAME_CHARACTERS])
    return printable + ("…" if len(text) > _MAX_NAME_CHARACTERS else "")
