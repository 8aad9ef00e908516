"""A request's arguments by name, for what decides or reports before they are validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from producer.contract import REQUESTS, RequestError, TaskName

__all__ = ["arguments_by_name"]


def arguments_by_name(task: str, args: Any, kwargs: Any) -> Mapping[str, Any]:
    """All arguments by name, as far as they can be told: answering reports what is wrong with them.

    Args:
        task: the task's name; the positional arguments of a task that is not in the contract have no names.
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


_TASKS = frozenset(task.value for task in TaskName)
