"""The tags that describe a request in a report or a trace, without its text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from models.store import StoredModel
from worker.inference.arguments import arguments_by_name
from worker.inference.request_cost import estimate_tokens
from worker.pool import work_context
from worker.results.answer_facts import facts_of

__all__ = ["tags_of"]


def tags_of(task: Any, args: Any, kwargs: Any, served: Sequence[StoredModel]) -> dict[str, str]:
    """The tags of the request that Celery is tracing.

    Args:
        task: the task, with its ``request``.
        args: positional arguments of the request, not validated.
        kwargs: keyword arguments of the request, not validated.
        served: the worker's models, the first of each task first.

    Returns:
        ``task``, ``task_id``, ``queue``, ``batch_size``, ``tokens``, ``model``, ``revision`` and ``arithmetic``, as
        far as known. If no model has read the request, there is no ``arithmetic``, ``tokens`` is an estimate, and
        ``tokens_estimated`` is set.
    """
    request = task.request
    arguments = arguments_by_name(task.name, args, kwargs)
    tags = {"task": task.name, "task_id": str(request.id)} | _model(request, task.name, arguments, served)
    delivery = request.delivery_info
    if isinstance(delivery, Mapping) and delivery.get("routing_key"):
        tags["queue"] = str(delivery["routing_key"])
    batch = work_context.batch()
    if batch is not None:
        tags["batch_size"] = str(len(batch.requests))
    return tags | _tokens(request, arguments)


def _tokens(request: Any, arguments: Mapping[str, Any]) -> dict[str, str]:
    facts = facts_of(request)
    if facts is not None and facts.tokens is not None:
        return {"tokens": str(facts.tokens)}
    return {"tokens": str(estimate_tokens(arguments, len(json.dumps(arguments)))), "tokens_estimated": "true"}


def _model(request: Any, task: str, arguments: Mapping[str, Any], served: Sequence[StoredModel]) -> dict[str, str]:
    facts = facts_of(request)
    if facts is not None:
        return {"model": facts.model, "revision": facts.revision, "arithmetic": facts.arithmetic}
    named = arguments.get("model")
    for model in served:
        if model.name == named or (named is None and model.manifest.task == task):
            return {"model": model.name, "revision": model.manifest.revision}
    return {}
