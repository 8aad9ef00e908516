"""Which request a log line is about: Celery says it in four ways, and we in two."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from celery import current_task

from worker.pool import work_context
from worker.results.answer_facts import facts_of

__all__ = ["subject_of"]

#: How Celery's lines, and ours, name a request: task and id.
_NAMED = "%s[%s]"
#: Celery's lines that have nothing but ids, by their template.
_IDS_ONLY = {"Terminating %s (%s)", "Tasks flagged as revoked: %s"}


def subject_of(record: logging.LogRecord) -> dict[str, object]:
    """What a line is about: ``task_id`` or ``task_ids``, ``task``, ``model`` and ``batch`` (a size), as far as known.

    A line of a process that computes a batch is about all requests of that batch, unless it names one.
    """
    found = _named_by(record) or _at_work()
    batch = work_context.batch()
    if batch is not None and batch.requests and found:
        found.setdefault("task", batch.task)
        found["batch"] = len(batch.requests)
    return found


def _named_by(record: logging.LogRecord) -> dict[str, object]:
    given = {name: getattr(record, name) for name in ("task_id", "task_ids") if hasattr(record, name)}
    if given:
        # Celery's own formatter writes ??? where there is no task.
        return {} if given.get("task_id") == "???" else given
    data = getattr(record, "data", None)
    if isinstance(data, Mapping) and data.get("id"):
        return {"task_id": data["id"], "task": data.get("name"), **_model()}
    return _named_in_arguments(record)


def _named_in_arguments(record: logging.LogRecord) -> dict[str, object]:
    template, arguments = record.msg, record.args
    if not isinstance(template, str) or not isinstance(arguments, tuple):
        return {}
    if template in _IDS_ONLY:
        ids = str(arguments[0]).split(", ")
        return {"task_id": ids[0]} if len(ids) == 1 else {"task_ids": ids}
    before, named, _ = template.partition(_NAMED)
    if not named:
        return {}
    at = before.replace("%%", "").count("%")
    return {"task_id": str(arguments[at + 1]), "task": str(arguments[at])}


def _at_work() -> dict[str, object]:
    task: Any = current_task
    if task and task.request and task.request.id:
        return {"task_id": task.request.id, "task": task.name, **_model()}
    one = work_context.request()
    if one is not None:
        return {"task_id": one.task_id, "task": one.task}
    batch = work_context.batch()
    if batch is not None and batch.requests:
        return {"task_ids": batch.task_ids}
    return {}


def _model() -> dict[str, object]:
    """The model that has answered the request that is being traced."""
    task: Any = current_task
    facts = facts_of(task.request) if task else None
    return {"model": facts.model} if facts else {}
