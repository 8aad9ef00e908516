"""``worker_pool``: the class that Celery instantiates."""

from __future__ import annotations

from functools import partial
from typing import Any, Unpack

from celery import signals
from celery.app import trace
from celery.concurrency import prefork
from celery.exceptions import ImproperlyConfigured
from celery.worker import state as worker_state

from worker.pool.billiard_adapter import JobOptions
from worker.pool.celery_adapter import CeleryRequest, Tracer, TracerArguments
from worker.pool.dispatcher import Dispatcher
from worker.pool.drain import Drain
from worker.pool.execute import use_batch_clock
from worker.pool.hooks import hooks_of
from worker.pool.pending_request import PendingRequest
from worker.pool.processes import ProcessPool
from worker.pool.request_factory import RequestFactory

__all__ = ["TaskPool"]

_TRACERS = (trace.fast_trace_task, trace.trace_task_ret)


class TaskPool(prefork.TaskPool):
    """A request goes to an idle process at once; while all are busy, requests wait, and then go together."""

    #: With a semaphore Celery would hold requests back until a process is idle, and release them one by one.
    uses_semaphore = False
    #: ``PoolHooks.before_grow`` can lease a core for a process that is added; Celery's own pool has no hooks.
    leases_as_it_grows = True

    def on_start(self) -> None:
        """Start the processes.

        Raises:
            ImproperlyConfigured: the broker's transport has no event loop, on which batches are handed over.
        """
        if self.options.get("threads", True):
            raise ImproperlyConfigured("worker.pool needs a broker with an event loop, such as Redis or RabbitMQ")
        self._hooks = hooks_of(self.app)
        signals.worker_process_init.connect(use_batch_clock, weak=False, dispatch_uid="celeriac.pool")
        self.Pool = partial(ProcessPool, hooks=self._hooks, on_turn=self._dispatch)
        super().on_start()
        self._factory = RequestFactory(self.app.tasks, self._hooks)
        self._dispatcher = Dispatcher(self._pool, self._hooks)
        self._drain = Drain(self._pool.kill, self._hooks.drain_s)
        self._is_closed = self._is_stopping = False
        self.on_apply = self._apply
        self.flush = self._dispatcher.flush

    def did_start_ok(self) -> bool:
        """Whether to continue after the fork: always, because the app's hooks learn of every exit.

        Celery would end the worker at the first process that fails early, and never at one that fails late.
        """
        return True

    def on_close(self) -> None:
        """Take no more work. Requests that wait are not acknowledged, so the broker delivers them again."""
        if self._pool is None:
            return
        self._is_closed = True
        self._drain.begin()
        self._dispatcher.close()
        super().on_close()

    def on_stop(self) -> None:
        """Let the processes finish what they compute, within the time that the hooks allow; in a cold shutdown, none.

        Celery also calls this in its signal handler for a cold shutdown. Then it only begins: the interrupted code may
        be reading what a process reports, and all that follows comes after it.
        """
        # Without processes the start has failed, or the pool is stopped already.
        if self._pool is None:
            return
        is_cold = worker_state.should_terminate not in (None, False)
        if is_cold:
            self._pool.kill()
        if self._is_stopping or (is_cold and not self._is_closed):
            self._pool.close()
            return
        self._is_stopping = True
        self._pool.kill_starting()
        self._dispatcher.close()
        super().on_stop()
        self._drain.end()

    def on_terminate(self) -> None:
        """Kill the processes."""
        if self._pool is not None:
            self._pool.kill()
            self.on_stop()

    @property
    def in_hand(self) -> list[CeleryRequest]:
        """The requests that processes compute or will compute. All others wait."""
        found = (request.celery_request for request in self._dispatcher.in_hand)
        return [request for request in found if request is not None]

    def seconds_of(self, queue: str | None) -> float:
        """How long a process is expected to need for a request from a queue, in seconds; at first a guess."""
        return self._dispatcher.seconds_of(queue)

    @property
    def num_up(self) -> int:
        """How many processes have reported that they are up."""
        return self._pool.num_up if self._pool is not None else 0

    @property
    def waiting(self) -> int:
        """How many requests wait for a process."""
        return self._dispatcher.waiting

    @property
    def processes(self) -> ProcessPool:
        """The processes of a pool that has started."""
        processes: ProcessPool = self._pool
        return processes

    def _dispatch(self) -> None:
        self._dispatcher.dispatch()

    def _apply(
        self, target: Tracer, args: TracerArguments, kwargs: dict[str, object], **options: Unpack[JobOptions]
    ) -> object:
        if target not in _TRACERS or kwargs:
            applied: object = self._pool.apply_async(target, args, kwargs, **options)
            return applied
        return self._enqueue(target, args, options)

    def _enqueue(self, target: Tracer, args: TracerArguments, options: JobOptions) -> PendingRequest:
        options["soft_timeout"] = options.get("soft_timeout") or self._pool.soft_timeout
        options["timeout"] = options.get("timeout") or self._pool.timeout
        request = self._factory.make(target, args, options)
        self._dispatcher.enqueue(request)
        return request

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        # Celery shows the initial number of processes; Flower shows this as the pool's size.
        info["max-concurrency"] = self.num_processes
        info |= self._hooks.describe()
        info["batches"] = self._dispatcher.counts
        return info
