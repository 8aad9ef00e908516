"""The worker's own app, which also writes down what it computes, and has the task of these runs beside its own.

``celery -A benchmarks.chaos.real_app worker``; only :mod:`benchmarks.chaos.fleet` runs it.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.chaos.journal import Journal
from benchmarks.chaos.seams import TRAPPED_BACKENDS
from benchmarks.chaos.steps import Step, Trap
from benchmarks.chaos.work import Work, note_requests, started_calls
from producer.contract import TaskName
from worker.celery_app import app
from worker.intake.request import WorkerRequest
from worker.pool import Call, TaskResult
from worker.tasks import InferenceTask

__all__ = ["app"]


class TextClassification(InferenceTask):
    """The worker's own task, written down."""

    name = TaskName.TEXT_CLASSIFICATION.value
    task_name = TaskName.TEXT_CLASSIFICATION

    def __init__(self, journal: Journal, trap: Trap) -> None:
        super().__init__()
        self._journal = journal
        self._trap = trap

    def compute(self, calls: Sequence[Call]) -> list[TaskResult]:
        """See :meth:`InferenceTask.compute`."""
        started = started_calls(calls)
        self._journal.began(started)
        self._trap.passing(Step.RUN_BEGINS)
        results = super().compute(calls)
        self._journal.ended(started)
        self._trap.passing(Step.RUN_ENDED)
        return results


class RealWork(Work):
    """The task of these runs, as the worker's own are."""

    Request = f"{WorkerRequest.__module__}:{WorkerRequest.__name__}"


app.amqp_cls = "benchmarks.chaos.seams:AMQP"
app.loader.override_backends = TRAPPED_BACKENDS
_parts = Journal.of_environment(), Trap.of_environment()
app.register_task(TextClassification(*_parts))
app.register_task(RealWork(*_parts))
note_requests(app, _parts[0])
