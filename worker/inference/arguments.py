"""A request's arguments by name, for whatever routes, counts or reports requests before they are validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from producer.contract import REQUESTS, RequestError, TaskName

__all__ = ["arguments_by_name", "named_model"]

_TASKS = frozenset(task.value for task in TaskName)


def arguments_by_name(task: str, args: Any, kwargs: Any) -> Mapping[str, Any]:
    """All arguments by name, as far as they can be told apart; validation reports what is wrong with them.

    Args:
        task: name of the task. Positional arguments of a task outside the contract have no names and are left out.
        args: positional arguments, as they came.
        kwargs: keyword arguments, as they came.
    """
    if not isinstance(kwargs, Mapping):
        return {}
    if not args or not isinstance(args, (list, tuple)) or task not in _TASKS:
        return kwargs
    try:
        return REQUESTS[TaskName(task)].bind(args, kwargs)
    except RequestError:
        return kwargs


def named_model(task: str, args: Any, kwargs: Any) -> Any:
    """The value of a request's ``model``; None where it names none, and not always a string: nothing is validated."""
    return arguments_by_name(task, args, kwargs).get("model")
