"""Celery's prefork pool, with batches: requests that are waiting go to a process together.

``worker_pool = "worker.pool:TaskPool"`` works with any Celery app. A task that derives from :class:`BatchTask` is
computed in batches; every other task runs as it does in Celery's own pool.
"""

from worker.pool.batch_task import BatchTask, Call, TaskResult
from worker.pool.errors import PoolError, ProcessDied
from worker.pool.hooks import ComputedBatch, PoolHooks, ProcessExit
from worker.pool.limits import BatchLimits
from worker.pool.task_pool import TaskPool

__all__ = [
    "BatchLimits",
    "BatchTask",
    "Call",
    "ComputedBatch",
    "PoolError",
    "PoolHooks",
    "ProcessDied",
    "ProcessExit",
    "TaskPool",
    "TaskResult",
]
