"""Finds the request that a log line is about, which Celery expresses in four ways and we in two."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from celery import current_task

from worker.pool import work_context
from worker.results.answer_facts import facts_of

__all__ = ["subject_of"]

#: How Celery's log lines and ours name a request: task and id.
_NAMED = "%s[%s]"
#: Templates of Celery's log lines that contain only ids.
_IDS_ONLY = {"Terminating %s (%s)", "Tasks flagged as revoked: %s"}


def subject_of(record: logging.LogRecord) -> dict[str, object]:
    """The subject of a line: ``task_id`` or ``task_ids``, ``task``, ``model`` and ``batch`` (a size), as far as known.

    A line of a process that computes a batch is about all requests of the batch, unless it names one.
    """
    subject = _named_in(record) or _current_subject()
    batch = work_context.batch()
    if batch is not None and batch.requests and subject:
        subject.setdefault("task", batch.task)
        subject["batch"] = len(batch.requests)
    return subject


def _named_in(record: logging.LogRecord) -> dict[str, object]:
    extra = {name: getattr(record, name) for name in ("task", "task_id", "task_ids") if hasattr(record, name)}
    if extra:
        # Celery's formatter sets ??? when there is no task.
        return {} if extra.get("task_id") == "???" else extra
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
    position = before.replace("%%", "").count("%")
    return {"task_id": str(arguments[position + 1]), "task": str(arguments[position])}


def _current_subject() -> dict[str, object]:
    task: Any = current_task
    if task and task.request and task.request.id:
        return {"task_id": task.request.id, "task": task.name, **_model()}
    request = work_context.request()
    if request is not None:
        return {"task_id": request.task_id, "task": request.task}
    batch = work_context.batch()
    if batch is not None and batch.requests:
        return {"task_ids": batch.task_ids}
    return {}


def _model() -> dict[str, object]:
    """The model that answered the request that Celery is tracing."""
    task: Any = current_task
    facts = facts_of(task.request) if task else None
    return {"model": facts.model} if facts else {}
