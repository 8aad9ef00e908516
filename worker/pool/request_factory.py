"""Makes a pending request of what Celery passes to the pool."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping

from celery import Task

from worker.pool.batch_task import BatchTask, Call
from worker.pool.billiard_adapter import JobOptions
from worker.pool.celery_adapter import Tracer, TracerArguments, is_redelivered, request_of
from worker.pool.hooks import PoolHooks
from worker.pool.pending_request import PendingRequest

__all__ = ["RequestFactory"]

logger = logging.getLogger(__name__)


class RequestFactory:
    """Makes pending requests.

    Args:
        tasks: the app's, by name.
        hooks: the app's.
    """

    def __init__(self, tasks: Mapping[str, Task], hooks: PoolHooks) -> None:
        self._tasks = tasks
        self._hooks = hooks

    def make(self, target: Tracer, args: TracerArguments, options: JobOptions) -> PendingRequest:
        """Make a request; one for a task that is not a :class:`BatchTask` has no key and runs alone."""
        name, _, headers, body, *_ = args
        celery_request = request_of(options)
        size_bytes = len(body) if isinstance(body, (str, bytes)) else 0
        request = PendingRequest(target, args, options, celery_request, size_bytes=size_bytes, runs_alone=True)
        if celery_request is not None and (is_redelivered(celery_request) or headers.get("retries")):
            # A process that dies after it has sent a retry sends it again, as another message.
            request.attempt = None
        task = self._tasks.get(name)
        if celery_request is None or not isinstance(task, BatchTask):
            return request
        found = _key_and_cost(task, Call(headers, celery_request.args, celery_request.kwargs), size_bytes)
        if found is not None:
            request.runs_alone = False
            request.key, request.cost = found
        request.is_bulk = self._hooks.is_bulk(request.queue)
        return request


def _key_and_cost(task: BatchTask, call: Call, size_bytes: int) -> tuple[Hashable, int] | None:
    """A call's key and cost; None if the task cannot tell, and then the call runs alone."""
    try:
        key = task.name, task.batch_key(call)
        hash(key)
        return key, max(1, task.batch_cost(call, size_bytes))
    except Exception:
        logger.exception("%s raised for the batch key or cost of a call, which now runs alone", task.name)
        return None
