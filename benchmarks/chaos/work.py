"""The task of both apps: it does what a message says, and writes down that it did."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery import Celery, signals
from celery.exceptions import Retry

from benchmarks.chaos.journal import Journal
from benchmarks.chaos.messages import TASK, Deed
from benchmarks.chaos.steps import Step, Trap
from worker.pool import BatchTask, Call, TaskResult

__all__ = ["WORK_VARIABLE", "Work", "note_requests", "started_calls"]

#: How long each message is worked on, in seconds.
WORK_VARIABLE = "CHAOS_WORK_S"
_RETRY_S = 0.3
#: More than a batch may cost.
_COST_ALONE = 1 << 20


class Work(BatchTask):
    """Does what its requests say.

    Args:
        journal: where that is written down.
        trap: what may kill the process.
    """

    name = TASK
    acks_late = True
    max_retries = 5

    def __init__(self, journal: Journal, trap: Trap) -> None:
        super().__init__()
        self._journal = journal
        self._trap = trap
        self._work_s = float(os.environ.get(WORK_VARIABLE, "0"))

    def compute(self, calls: Sequence[Call]) -> list[TaskResult]:
        """See :meth:`BatchTask.compute`."""
        started = started_calls(calls)
        self._journal.began(started)
        self._trap.passing(Step.RUN_BEGINS)
        time.sleep(self._work_s * len(calls))
        results = [_result(call) for call in calls]
        self._journal.ended(started)
        self._trap.passing(Step.RUN_ENDED)
        return results

    def batch_cost(self, call: Call, body_bytes: int) -> int:  # noqa: ARG002 - as the base class
        """What waits on its own shares no batch."""
        return _COST_ALONE if call.kwargs.get("do") == Deed.WAIT.value else 1


def started_calls(calls: Sequence[Call]) -> list[tuple[object, int]]:
    """What the journal says of calls."""
    return [(call.headers.get("id"), int(call.headers.get("retries") or 0)) for call in calls]


def note_requests(app: Celery, journal: Journal) -> None:
    """Write down which requests a worker has received, and when it consumes."""

    def on_received(request: Any, **_: object) -> None:
        if request.app is app:
            journal.received(request.id, int(request.request_dict.get("retries") or 0))

    def on_ready(**_: object) -> None:
        journal.up()

    signals.task_received.connect(on_received, weak=False)
    signals.worker_ready.connect(on_ready, weak=False)


def _result(call: Call) -> TaskResult:
    try:
        number, deed = int(call.kwargs["n"]), Deed(call.kwargs.get("do", Deed.NOTHING.value))
    except (KeyError, ValueError, TypeError) as error:
        return TaskResult(error=TypeError(f"chaos.work takes n and do: {error!r}"))
    value = call.kwargs.get("value") or 0
    if deed is Deed.RETRY and int(call.headers.get("retries") or 0) < value:
        return TaskResult(error=Retry(exc=RuntimeError("again"), when=_RETRY_S))
    if deed is Deed.COLLECT:
        return TaskResult({"n": number, "parts": sorted(part["n"] for part in call.args[0])})
    if deed in _DEEDS:
        _DEEDS[deed](value)
    return TaskResult({"n": number})


def _raise_memory_error(_: float) -> None:
    raise MemoryError("chaos")


_DEEDS: Mapping[Deed, Callable[[float], object]] = {
    Deed.WAIT: time.sleep,
    Deed.DIE: lambda _: os.kill(os.getpid(), signal.SIGKILL),
    Deed.SEGFAULT: lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    Deed.MEMORY_ERROR: _raise_memory_error,
}
