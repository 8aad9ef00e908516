"""What is printed of an outcome, as a line of JSON."""

from __future__ import annotations

import json
from typing import Any

from producer.chunks import Outcome
from producer.errors import RequestError
from producer.outcomes import Answer

__all__ = ["as_bytes", "as_object"]


def as_object(key: object, outcome: Outcome) -> dict[str, Any]:
    """``{"result": …, "model": …}`` or ``{"error": …}``, with the caller's id if there is one."""
    line: dict[str, Any] = {} if key is None else {"id": key}
    if isinstance(outcome, Answer):
        return {**line, "result": outcome.result, "model": outcome.model}
    if isinstance(outcome, RequestError):
        return {**line, "error": {"message": outcome.message, **outcome.details}}
    return {**line, "error": {"message": f"{type(outcome).__name__}: {outcome}"}}


def as_bytes(line: object) -> bytes:
    """As UTF-8, whatever the locale. Lone surrogates, which UTF-8 cannot encode, become JSON escapes."""
    return json.dumps(line, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
