"""The pool's hooks in our worker: they lease cores for its processes, supervise their starts, and count batches."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

from celery.worker import state
from kombu.message import Message
from redis.exceptions import RedisError

from producer.contract import ErrorCode, ModelFailed, is_bulk
from worker.boot.start_reports import StartReport, StartReports
from worker.cores.leases import LeasingError
from worker.inference.request_cost import BYTES_PER_TOKEN
from worker.observability.metrics.meter import RestartReason
from worker.pool import BatchLimits, ComputedBatch, PoolHooks, ProcessExit
from worker.runtime import WorkerRuntime
from worker.transport.channel import Channel
from worker.transport.dead_letters import Attempt, DeadReason

__all__ = ["MAX_FAILED_STARTS", "InferenceHooks"]

logger = logging.getLogger(__name__)

#: Failed starts in a row after which the worker stops.
MAX_FAILED_STARTS = 3

#: How much of ``CELERIAC_TIME_SHUTDOWN_S`` is kept for what follows the last batch, in seconds; at most a quarter.
_ENDING_S = 3.0


class InferenceHooks(PoolHooks):
    """The hooks of our worker. Processes and core sets share their indices.

    A process that dies before it reports that it is up is a failed start. After :data:`MAX_FAILED_STARTS` of these in a
    row the worker stops with an error instead of forking forever.

    Args:
        runtime: the runtime of the worker.
    """

    def __init__(self, runtime: WorkerRuntime) -> None:
        batch = runtime.settings.batch
        self.batch_limits = BatchLimits(batch.max_requests, batch.max_cost, batch.bulk_s, min_cost=batch.max_tokens)
        # The rest of the grace is for the end: processes that exit, and what is given back.
        shutdown_s = runtime.settings.time.shutdown_s
        self.drain_s = shutdown_s - min(_ENDING_S, shutdown_s / 4)
        self._runtime = runtime
        self._started: dict[int, StartReport] = {}
        self._causes: dict[int, str] = {}
        self._failed_starts = 0
        self._reports: StartReports | None = None

    def open_reports(self) -> None:
        """Open the pipe on which processes report their start; before the first fork."""
        self._reports = StartReports()

    def report(self, report: StartReport) -> None:
        """Report a start to the parent; in a pool process.

        Raises:
            RuntimeError: no worker has started in this process.
        """
        if self._reports is None:
            raise RuntimeError("no worker has started in this process")
        self._reports.send(report)

    def before_grow(self, count: int) -> None:
        """Lease cores for more processes.

        Raises:
            ValueError: not enough cores are free.
        """
        try:
            self._runtime.started_leases().grow(count)
        except LeasingError as error:
            raise ValueError(f"cannot grow by {count}: {error}") from error

    def before_fork(self, index: int, alive: Collection[int]) -> None:
        """Give the process a core set."""
        self._runtime.started_leases().assign(index, alive)

    def on_started(self, pid: int, up: int, wanted: int) -> None:  # noqa: ARG002 - the base class's signature
        """Reset the count of failed starts."""
        self._read_reports()
        self._failed_starts = 0
        for reason in RestartReason:
            # Prometheus computes a rate from the first restart only if the counter exists before it.
            self._runtime.meter.restarts[reason] += 0
        if len(self._started) == wanted:
            logger.info("all %d processes are ready", wanted)

    def on_exit(self, process: ProcessExit, alive: Collection[int], wanted: int) -> None:
        """Release the core set if no process needs it, and count an exit that the pool did not order."""
        self._runtime.started_leases().shrink(wanted, alive)
        self._read_reports()
        had_started = self._started.pop(process.pid, None) is not None
        if not process.is_pool_running or process.was_ordered:
            return
        if had_started:
            self._runtime.meter.restarts[RestartReason.DIED] += 1
        else:
            self._note_failed_start(process)

    def on_batch(self, batch: ComputedBatch) -> None:
        """Update the throughput, and count the batch."""
        self._runtime.throughput.observe(batch.size_bytes, batch.seconds)
        if self._runtime.monitoring_socket is not None:
            self._runtime.meter.on_batch(batch.key, batch.requests, batch.seconds, batch.usage)

    def on_not_stored(self, problem: str) -> None:
        """Fetch no more requests until results can be stored again."""
        self._runtime.storing.fail(problem)

    def expected_s(self, key: Hashable, cost: int) -> float:
        """What the slowest process takes for this many tokens, by the pace that was measured at its start."""
        task = str(key[0]) if isinstance(key, tuple) else ""
        return cost * max((report.token_s.get(task, 0.0) for report in self._started.values()), default=0.0)

    def is_bulk(self, queue: str | None) -> bool:
        """Whether a queue is one of the contract's bulk queues."""
        return is_bulk(queue)

    def process_died(self, problem: str) -> Exception:
        """The contract's error for a request whose process died."""
        return ModelFailed.of(ErrorCode.PROCESS_DIED, problem)

    def on_given_up(self, message: Message, problem: str, attempts: Sequence[tuple[float, str]]) -> None:
        """Keep the message as a dead letter. Its sender gets the error of :meth:`process_died`."""
        if not isinstance(message.channel, Channel):
            return
        known = [Attempt(at_s, worker) for at_s, worker in attempts]
        tag, reason = message.delivery_tag, DeadReason.TOO_MANY_ATTEMPTS
        if message.channel.is_closed:
            return  # it has gone back with all that the channel held; since its failure is stored, it is not computed
        try:
            message.channel.bury(tag, reason, problem, error=ModelFailed.__name__, attempts=known)
        except RedisError:
            logger.warning("could not keep a message that is given up as a dead letter", exc_info=True)

    def on_superseded(self, message: Message) -> None:
        """Leave the message to the worker that has claimed its request."""
        if not isinstance(message.channel, Channel):
            return
        try:
            message.channel.leave_to_others(message.delivery_tag)
        except RedisError:
            logger.warning("could not leave a message to the worker that has claimed it", exc_info=True)

    def describe(self) -> Mapping[str, Any]:
        """Cores, start-up time and revisions of each process, by pid; each model's arithmetic; the last exchange."""
        return {
            "arithmetic": dict(self._runtime.meter.arithmetic),
            "cores": {str(pid): list(report.cores) for pid, report in self._started.items()},
            "start-seconds": {str(pid): round(report.seconds, 3) for pid, report in self._started.items()},
            "revisions": {str(pid): dict(report.revisions) for pid, report in self._started.items()},
            "model-exchange": self._runtime.exchange.describe(),
        }

    def _note_failed_start(self, process: ProcessExit) -> None:
        cause = self._causes.pop(process.pid, f"it ended with {process.status} while loading")
        self._failed_starts += 1
        self._runtime.meter.restarts[RestartReason.FAILED_TO_START] += 1
        logger.error("process %d could not start (%d in a row): %s", process.pid, self._failed_starts, cause)
        self._runtime.exchange.on_failed_start(cause)
        if self._failed_starts >= MAX_FAILED_STARTS:
            logger.critical("stopping: %d processes in a row could not start; the last: %s", MAX_FAILED_STARTS, cause)
            state.should_stop = os.EX_SOFTWARE

    def _expect_pace(self) -> None:
        """Expect of messages that are not fetched yet what the slowest model takes on the slowest core."""
        paces_s = [token_s for report in self._started.values() for token_s in report.token_s.values()]
        if paces_s:
            self._runtime.throughput.expect(max(paces_s) / BYTES_PER_TOKEN)

    def _read_reports(self) -> None:
        if self._reports is None:
            return
        for report in self._reports.receive():
            if report.cause is None:
                self._started[report.pid] = report
                self._runtime.meter.arithmetic = report.arithmetic
                self._runtime.meter.revisions = report.revisions
                self._expect_pace()
            else:
                self._causes[report.pid] = report.cause
