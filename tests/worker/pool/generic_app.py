"""A plain Celery app that uses the pool, in a process that can import nothing else of this project.

``$GENERIC_APP_URL`` is its broker and its result backend. Only import this in a process of its own.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from celery import Celery

from tests.worker.pool.import_guard import refuse_all_but_the_pool

refuse_all_but_the_pool()

from worker.pool import BatchTask, Call, TaskResult  # noqa: E402 - imported under guard

_POLL_S = 0.005


class Add(BatchTask):
    """Adds its arguments, and says how large its batch was."""

    name = "add"
    acks_late = True

    def compute(self, calls: Sequence[Call]) -> list[TaskResult]:
        """See :meth:`BatchTask.compute`."""
        for call in calls:
            if "wait_for" in call.kwargs:
                _wait_for(Path(call.kwargs["wait_for"]))
            if "die" in call.kwargs:
                os.kill(os.getpid(), signal.SIGKILL)
        return [TaskResult({"sum": sum(call.args), "batch": len(calls)}) for call in calls]


def _wait_for(path: Path) -> None:
    path.with_suffix(".held").touch()
    while not path.exists():
        threading.Event().wait(_POLL_S)


_url = os.environ.get("GENERIC_APP_URL")
app = Celery("generic", broker=_url, backend=_url)
app.conf.update(
    worker_pool="worker.pool:TaskPool",
    worker_prefetch_multiplier=0,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    broker_connection_retry_on_startup=True,
    result_expires=600,
)
app.register_task(Add())


@app.task(name="multiply")
def multiply(one: int, other: int) -> int:
    """A plain task."""
    return one * other
