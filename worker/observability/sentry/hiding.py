"""Removes the text of requests from reports. Messages of exceptions stay if they are known never to quote a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from billiard import exceptions as billiard_exceptions

from models.errors import ModelError
from producer.contract import RequestError
from worker.inference.hidden_result import HIDDEN

__all__ = ["hide_texts"]

#: Modules whose exceptions never quote a request. Some exceptions of Celery and Redis do.
_SAFE_MODULES = (RequestError.__module__, ModelError.__module__, billiard_exceptions.__name__)
#: Exceptions of the operating system, which name addresses and files.
_SAFE_TYPES = frozenset(
    {"MemoryError", "OSError", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError"}
    | {"TimeoutError", "FileNotFoundError", "PermissionError"}
)
#: Other exceptions of Redis may repeat the command that was sent.
_SAFE_REDIS = frozenset({"ConnectionError", "TimeoutError"})
#: The engine computes numbers and never receives text.
_ENGINE = "openvino"


def hide_texts(event: Any, hint: Mapping[str, Any]) -> Any:
    """Remove everything from a report that may contain a request's text; types and stacks stay."""
    event.pop("extra", None)
    for value in (event.get("exception") or {}).get("values") or []:
        if not _is_safe(value):
            value["value"] = HIDDEN
    record = hint.get("log_record")
    if record is not None:
        event["logentry"] = _without_texts(record)
    return event


def _is_safe(value: Mapping[str, Any]) -> bool:
    module, name = value.get("module"), value.get("type")
    if module is None or module == "builtins":
        return name in _SAFE_TYPES or _is_raised_by_engine(value)
    return module.startswith(_SAFE_MODULES) or (module == "redis.exceptions" and name in _SAFE_REDIS)


def _is_raised_by_engine(value: Mapping[str, Any]) -> bool:
    frames = (value.get("stacktrace") or {}).get("frames") or [{}]
    return str(frames[-1].get("module") or "").split(".", maxsplit=1)[0] == _ENGINE


def _without_texts(record: Any) -> dict[str, Any]:
    """A log line that names its exceptions without quoting them."""
    template = str(record.msg)
    if not isinstance(record.args, tuple):
        return {"message": template, "formatted": template}
    shown = tuple(_shown(argument) for argument in record.args)
    try:
        return {"message": template, "formatted": template % shown, "params": list(shown)}
    except (TypeError, ValueError):
        # The template formats an exception as a number.
        return {"message": template, "formatted": template}


def _shown(argument: Any) -> Any:
    return argument if isinstance(argument, (str, int, float)) else type(argument).__name__
