"""Celery's prefork pool with batches: requests that wait go to a process together.

``worker_pool = "worker.pool:TaskPool"`` serves any Celery app; a task that derives from :class:`BatchTask` is answered
in batches, every other one runs as it does in Celery's own pool.
"""

from worker.pool.batch_task import Answer, BatchTask, Call
from worker.pool.errors import PoolError, ProcessDied
from worker.pool.hooks import ComputedBatch, PoolHooks, ProcessExit
from worker.pool.limits import BatchLimits
from worker.pool.task_pool import TaskPool

__all__ = [
    "Answer",
    "BatchLimits",
    "BatchTask",
    "Call",
    "ComputedBatch",
    "PoolError",
    "PoolHooks",
    "ProcessDied",
    "ProcessExit",
    "TaskPool",
]
