"""Hands waiting requests over to the processes, in batches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError

from worker.pool.batch import Batch
from worker.pool.batch_queue import BatchQueue
from worker.pool.billiard_adapter import Job, JobOptions
from worker.pool.celery_adapter import payload_of
from worker.pool.exception_info import exception_info, exception_of
from worker.pool.execute import DispatchedRequest, run_batch
from worker.pool.hooks import ComputedBatch, PoolHooks
from worker.pool.pending_request import PendingRequest
from worker.pool.processes import ProcessPool
from worker.pool.throughput import UNKNOWN_REQUEST_S, Throughput

__all__ = ["Dispatcher"]

T = TypeVar("T")

#: A job may take this many times the expected time, whatever the configured limits: neighbours may slow a core down.
_ALLOWANCE = 5
#: Headers that the tracer sets itself, from the payload.
_HEADERS_IN_PAYLOAD = frozenset({"args", "kwargs"})


class Dispatcher:
    """Keeps the queue, and takes batches from it for the processes.

    A batch is taken at the end of a turn of the event loop, so that requests that arrive together are computed
    together.

    Args:
        processes: the pool's processes.
        hooks: the app's.
    """

    def __init__(self, processes: ProcessPool, hooks: PoolHooks) -> None:
        self._processes = processes
        self._hooks = hooks
        self._throughput = Throughput(lambda key: hooks.expected_s(key, 1))
        #: The same by queue, for a request of any kind.
        self._queue_throughput = Throughput(lambda _: UNKNOWN_REQUEST_S)
        self._queue = BatchQueue(hooks.batch_limits, self._throughput.cost_in)
        #: Billiard's jobs by batch or request.
        self._jobs: dict[Batch | PendingRequest, Job] = {}
        #: Those that may take long: nothing is written behind them.
        self._long_jobs: dict[object, Job] = {}
        self._batches = self._batched = 0

    @property
    def waiting(self) -> int:
        """How many requests wait for a process."""
        return len(self._queue)

    @property
    def counts(self) -> Mapping[str, int]:
        """Batches that were handed over, their requests, and the requests that wait."""
        return {"count": self._batches, "requests": self._batched, "waiting": self.waiting}

    @property
    def in_hand(self) -> list[PendingRequest]:
        """The requests that processes compute or will compute."""
        # Billiard silently forgets jobs that no process has begun.
        handed = [handed for handed, job in self._jobs.items() if self._processes.has(job)]
        return [request for each in handed for request in _requests_of(each)]

    def seconds_of(self, queue: str | None) -> float:
        """How long a process is expected to need for a request from a queue, in seconds."""
        return self._queue_throughput.seconds_for(queue, 1)

    def enqueue(self, request: PendingRequest) -> None:
        """Add a request, to be handed over at the end of this turn or later."""
        self._queue.add(request)

    def dispatch(self) -> None:
        """Hand batches over to the processes that can take them."""
        processes = self._processes
        while processes.is_running and self.waiting and (processes.idle > 0 or self._may_write_ahead()):
            requests = self._queue.take_batch(max(1, processes.num_up))
            if requests:
                self._submit(requests)

    def flush(self) -> None:
        """Forget what the broker delivers again. Called when the connection is lost."""
        for request in reversed(self._queue.drain()):
            self._requeue(request)
        self._processes.flush()
        if self._processes.is_running:
            self._jobs = {handed: job for handed, job in self._jobs.items() if job.accepted() and not job.ready()}
        # Billiard silently forgets the jobs that no process has begun.
        self._long_jobs = {key: job for key, job in self._long_jobs.items() if job.accepted() and not job.ready()}

    def close(self) -> None:
        """Leave what waits to the broker, and fail what the broker has forgotten."""
        for request in self._queue.drain():
            self._fail_if_acknowledged(request)

    def _may_write_ahead(self) -> bool:
        """Whether a job may be written to a process that is computing another. It cannot go to another one then.

        Only if the waiting requests fill a batch for each process: each gets its share of them.
        """
        processes = self._processes
        return not self._long_jobs and self._queue.fills(max(1, processes.num_up)) and processes.ahead > 0

    def _submit(self, requests: Sequence[PendingRequest]) -> None:
        if requests[0].key is None:
            self._submit_alone(requests[0])
        else:
            self._submit_batch(Batch(requests, self._requeue, self._observe, self._hooks))

    def _submit_batch(self, batch: Batch) -> None:
        first = batch.requests[0]
        extra_s = self._extra_s(batch)
        options = JobOptions(
            accept_callback=batch.on_accepted,
            callback=self._forgetting(batch, batch.on_results),
            error_callback=self._forgetting(batch, partial(self._on_error, batch, batch.on_error)),
            timeout_callback=batch.on_timeout,
            soft_timeout=_extended(batch.soft_limit_s, extra_s),
            timeout=_extended(batch.hard_limit_s, extra_s),
            callbacks_propagate=first.options.get("callbacks_propagate", ()),
            waitforslot=False,
        )
        dispatched = [_dispatched(request) for request in batch.requests]
        job = self._start(run_batch, (first.target, dispatched), options, batch.on_error)
        if job is None:
            return
        self._batches += 1
        self._batched += len(batch.requests)
        self._jobs[batch] = job
        if batch.cost > self._hooks.batch_limits.cost:
            self._long_jobs[batch] = job

    def _on_error(
        self, handed: Batch | PendingRequest, fail: Callable[[ExceptionInfo], object] | None, error: ExceptionInfo
    ) -> None:
        """A job has failed. If its process was ended because the worker stops, its requests go back to the broker."""
        if not self._processes.is_running and isinstance(exception_of(error), WorkerLostError):
            if isinstance(handed, Batch):
                handed.abandon()
            else:
                self._fail_if_acknowledged(handed)
        elif fail is not None:
            fail(error)

    def _extra_s(self, batch: Batch) -> float:
        """By how much the limits of a batch are extended, so that work that is expected to take long is not killed.

        A limit that a message sets itself is never extended.
        """
        limit_s = batch.soft_limit_s or batch.hard_limit_s
        if limit_s is None or any(request.has_own_limits for request in batch.requests):
            return 0.0
        key, cost = batch.requests[0].key, batch.cost
        expected_s = max(self._throughput.seconds_for(key, cost), self._hooks.expected_s(key, cost))
        return max(0.0, _ALLOWANCE * expected_s - limit_s)

    def _submit_alone(self, request: PendingRequest) -> None:
        """Run a task that is not a batch task, exactly as Celery's own pool does."""
        options = request.options.copy()
        options["callback"] = self._forgetting(request, options.get("callback"))
        on_error = partial(self._on_error, request, options.get("error_callback"))
        options["error_callback"] = self._forgetting(request, on_error)
        job = self._start(request.target, request.args, options, request.fail)
        if job is not None:
            request.job = self._jobs[request] = self._long_jobs[request] = job

    def _start(
        self,
        target: Callable[..., object],
        args: Sequence[object],
        options: JobOptions,
        on_error: Callable[[ExceptionInfo], None],
    ) -> Job | None:
        try:
            job: Job = self._processes.apply_async(target, args, {}, **options)
        except Exception as error:  # noqa: BLE001 - a request cannot be pickled (nested too deeply)
            on_error(exception_info(error))
            return None
        return job

    def _forgetting(self, key: Batch | PendingRequest, callback: Callable[[T], object] | None) -> Callable[[T], object]:
        """``callback``, preceded by the end of the job."""

        def on_end(result: T) -> object:
            self._jobs.pop(key, None)
            self._long_jobs.pop(key, None)
            return callback(result) if callback else None

        return on_end

    def _observe(self, requests: Sequence[PendingRequest], seconds: float, usage: object) -> None:
        """Measure a batch that was computed."""
        key, size_bytes = requests[0].key, sum(request.size_bytes for request in requests)
        self._hooks.on_batch(ComputedBatch(key, len(requests), size_bytes, seconds, usage))
        self._throughput.observe(key, sum(request.cost for request in requests), seconds)
        for queue, count in Counter(request.queue for request in requests).items():
            self._queue_throughput.observe(queue, count, seconds * count / len(requests))

    def _requeue(self, request: PendingRequest) -> None:
        """Take a request that has to run again."""
        if self._processes.is_running:
            self._queue.requeue(request)
        else:
            self._fail_if_acknowledged(request)

    def _fail_if_acknowledged(self, request: PendingRequest) -> None:
        """End a request while the worker shuts down: the broker does not deliver an acknowledged one again."""
        if request.is_acknowledged:
            request.fail(
                exception_info(self._hooks.process_died("its process ended while its worker was shutting down"))
            )


def _requests_of(handed: Batch | PendingRequest) -> Sequence[PendingRequest]:
    return handed.requests if isinstance(handed, Batch) else [handed]


def _extended(limit_s: float | None, extra_s: float) -> float | None:
    return None if limit_s is None else limit_s + extra_s


def _dispatched(request: PendingRequest) -> DispatchedRequest:
    celery_request = request.celery_request
    if celery_request is None:
        raise ValueError(f"{request.task}[{request.task_id}] did not come from Celery's consumer")
    headers = {name: value for name, value in request.args[2].items() if name not in _HEADERS_IN_PAYLOAD}
    return DispatchedRequest(
        request.task,
        request.task_id,
        headers,
        payload_of(celery_request),
        request.soft_limit_s,
        celery_request.expires,
        request.tag,
        request.attempt,
        time.monotonic(),
    )
