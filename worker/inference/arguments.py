"""A request's arguments by name, for code that routes, counts or reports requests that are not validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from producer.contract import REQUESTS, RequestError, TaskName

__all__ = ["arguments_by_name", "named_model"]

_TASKS = frozenset(task.value for task in TaskName)


def arguments_by_name(task: str, args: object, kwargs: object) -> Mapping[str, Any]:
    """All arguments by name, as far as possible. Nothing is validated.

    Args:
        task: name of the task. Positional arguments of a task outside the contract have no names and are left out.
        args: positional arguments from the message.
        kwargs: keyword arguments from the message.
    """
    if not isinstance(kwargs, Mapping):
        return {}
    if not args or not isinstance(args, (list, tuple)) or task not in _TASKS:
        return kwargs
    try:
        return REQUESTS[TaskName(task)].bind(args, kwargs)
    except RequestError:
        return kwargs


def named_model(task: str, args: object, kwargs: object) -> object:
    """The value of a request's ``model``, not validated: any JSON value; None if the request names none."""
    return arguments_by_name(task, args, kwargs).get("model")
