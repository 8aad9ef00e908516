"""Reports without the texts of requests: the message of an exception is kept where it is known to quote none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from billiard import exceptions as billiard_exceptions

from models.errors import ModelError
from producer.contract import RequestError
from worker.inference.hidden_result import HIDDEN

__all__ = ["hide_texts"]

#: Modules whose exceptions never quote a request. Of Celery's and Redis's some do.
_SILENT_MODULES = (RequestError.__module__, ModelError.__module__, billiard_exceptions.__name__)
#: Exceptions of the system, which name addresses and files.
_SILENT_TYPES = frozenset(
    {"MemoryError", "OSError", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError"}
    | {"TimeoutError", "FileNotFoundError", "PermissionError"}
)
#: What Redis answers may repeat what it was sent.
_SILENT_REDIS = frozenset({"ConnectionError", "TimeoutError"})
#: It computes numbers, and has never seen a text.
_ENGINE = "openvino"


def hide_texts(event: Any, hint: Mapping[str, Any]) -> Any:
    """Take out of a report what could hold a request's text; types and stacks stay."""
    event.pop("extra", None)
    for value in (event.get("exception") or {}).get("values") or []:
        if not _is_silent(value):
            value["value"] = HIDDEN
    record = hint.get("log_record")
    if record is not None:
        event["logentry"] = _without_texts(record)
    return event


def _is_silent(value: Mapping[str, Any]) -> bool:
    module, name = value.get("module"), value.get("type")
    if module is None or module == "builtins":
        return name in _SILENT_TYPES or _is_raised_by_engine(value)
    return module.startswith(_SILENT_MODULES) or (module == "redis.exceptions" and name in _SILENT_REDIS)


def _is_raised_by_engine(value: Mapping[str, Any]) -> bool:
    frames = (value.get("stacktrace") or {}).get("frames") or [{}]
    return str(frames[-1].get("module") or "").split(".", maxsplit=1)[0] == _ENGINE


def _without_texts(record: Any) -> dict[str, Any]:
    """A log line whose exceptions are named, and not quoted."""
    template = str(record.msg)
    if not isinstance(record.args, tuple):
        return {"message": template, "formatted": template}
    shown = tuple(_shown(argument) for argument in record.args)
    try:
        return {"message": template, "formatted": template % shown, "params": list(shown)}
    except (TypeError, ValueError):
        # It wants a number where an exception was.
        return {"message": template, "formatted": template}


def _shown(argument: Any) -> Any:
    return argument if isinstance(argument, (str, int, float)) else type(argument).__name__
