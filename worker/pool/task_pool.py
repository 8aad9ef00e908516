"""``worker_pool``: what Celery instantiates, and where requests wait for a process."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from celery import signals
from celery.app import trace
from celery.concurrency import prefork
from celery.exceptions import ImproperlyConfigured

from worker.pool.batch import Batch
from worker.pool.batch_queue import Line
from worker.pool.batch_task import BatchTask, Call
from worker.pool.execute import BatchCall, run_batch, use_batch_clock
from worker.pool.hooks import ComputedBatch, PoolHooks, hooks_of
from worker.pool.pending_request import Member, exception_info
from worker.pool.processes import ProcessPool
from worker.pool.throughput import UNKNOWN_REQUEST_S, Pace

__all__ = ["TaskPool"]

logger = logging.getLogger(__name__)

_TRACERS = (trace.fast_trace_task, trace.trace_task_ret)
#: Headers that the tracer sets itself, from the payload.
_IN_PAYLOAD = frozenset({"args", "kwargs"})


class TaskPool(prefork.TaskPool):
    """Requests go to a free process at once; while all are busy they gather, and go together.

    A batch is cut at the end of a turn of the event loop, so that what arrives together is answered together.
    """

    #: Celery would hold requests back until a process is free, one by one.
    uses_semaphore = False
    #: A process that comes later has a core leased for it then; Celery's own pool knows of no leases.
    leases_as_it_grows = True

    def on_start(self) -> None:
        """Make the processes.

        Raises:
            ImproperlyConfigured: this broker's transport has no event loop, which is what hands batches over.
        """
        if self.options.get("threads", True):
            raise ImproperlyConfigured("worker.pool needs a broker with an event loop, such as Redis or RabbitMQ")
        self._hooks = hooks_of(self.app)
        self._limits = limits = self._hooks.batch_limits
        self._pace = Pace()
        #: The same by queue, for a request of any kind.
        self._queue_pace = Pace(UNKNOWN_REQUEST_S)
        self._line = Line(limits, self._pace.cost_in)
        #: Jobs that may take long: nothing is written behind them. With billiard's results.
        self._long_jobs: dict[object, Any] = {}
        self._batches = self._batched = 0
        signals.worker_process_init.connect(use_batch_clock, weak=False, dispatch_uid="celeriac.pool")
        self.Pool = partial(ProcessPool, hooks=self._hooks)
        super().on_start()
        self._pool.on_turn = self._hand_over
        self._apply_now: Callable[..., Any] = self._pool.apply_async
        self.on_apply = self._enqueue
        self._flush_processes: Callable[[], None] = self._pool.flush
        self.flush = self._flush

    def did_start_ok(self) -> bool:
        """Whether to go on after the fork: always, since :class:`ProcessPool` counts the starts that fail.

        Celery would end the worker at the first one that fails early, and never at one that fails late.
        """
        return True

    def on_close(self) -> None:
        """Take no more work; what waits is not acknowledged, and goes back to Redis with the connection."""
        self._forget_line()
        super().on_close()

    def on_stop(self) -> None:
        """Let what runs finish."""
        self._forget_line()
        super().on_stop()

    def on_terminate(self) -> None:
        """End what runs."""
        self._forget_line()
        super().on_terminate()

    def seconds_of(self, queue: str | None) -> float:
        """What a request from a queue is expected to take a process, in seconds; a guess before any was seen."""
        return self._queue_pace.seconds_for(queue, 1)

    @property
    def waiting(self) -> int:
        """How many requests wait for a process."""
        return len(self._line)

    def _enqueue(self, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any], **options: Any) -> Any:
        if target not in _TRACERS or kwargs:
            return self._apply_now(target, args, kwargs, **options)
        member = self._member(target, args, options)
        self._line.add(member)
        return member

    def _member(self, target: Any, args: Sequence[Any], options: Mapping[str, Any]) -> Member:
        request = getattr(options.get("accept_callback"), "__self__", None)
        task = self.app.tasks.get(args[0])
        body = args[3]
        limits = {
            "soft_timeout": options.get("soft_timeout") or self._pool.soft_timeout,
            "timeout": options.get("timeout") or self._pool.timeout,
        }
        size_bytes = len(body) if isinstance(body, (str, bytes)) else 0
        member = Member(target, args, {**options, **limits}, request, size_bytes=size_bytes, alone=True)
        if request is None or not isinstance(task, BatchTask):
            return member
        found = _key_and_cost(task, Call(args[2], request.args, request.kwargs), size_bytes)
        if found is not None:
            member.alone = False
            member.key, member.cost = found
        member.is_bulk = self._hooks.is_bulk(request.delivery_info.get("routing_key"))
        return member

    def _hand_over(self) -> None:
        """Give batches to the processes that can take them."""
        pool = self._pool
        if pool is None:
            return
        while len(self._line) and (pool.idle > 0 or self._may_write_ahead()):
            members = self._line.cut(max(1, pool.num_up))
            if members:
                self._submit(members)

    def _may_write_ahead(self) -> bool:
        """Only where full batches wait anyway: what is written to a process cannot be given to another."""
        pool = self._pool
        # Each process gets its share of what waits: a full batch each, or what is cut is less than a batch.
        return not self._long_jobs and self._line.fills(max(1, pool.num_up)) and pool.ahead > 0

    def _submit(self, members: list[Member]) -> None:
        if members[0].key is None:
            self._submit_plain(members[0])
            return
        batch = Batch(members, self._give_back, self._observe, self._hooks)
        try:
            job = self._apply_now(
                run_batch,
                (members[0].target, [_travelling(member) for member in members]),
                {},
                accept_callback=batch.on_accepted,
                callback=self._done(batch, batch.on_results),
                error_callback=self._done(batch, batch.on_error),
                timeout_callback=batch.on_timeout,
                soft_timeout=batch.soft_limit_s,
                timeout=batch.hard_limit_s,
                callbacks_propagate=members[0].options.get("callbacks_propagate", ()),
                waitforslot=False,
            )
        except Exception as error:  # noqa: BLE001 - one of them cannot be pickled (nested too deep)
            batch.on_error(exception_info(error))
            return
        self._batches += 1
        self._batched += len(members)
        if sum(member.cost for member in members) > self._limits.cost:
            self._long_jobs[batch] = job

    def _observe(self, members: Sequence[Member], seconds: float, usage: Any) -> None:
        """A batch was computed."""
        size_bytes = sum(member.size_bytes for member in members)
        self._hooks.on_batch(ComputedBatch(members[0].key, len(members), size_bytes, seconds, usage))
        self._pace.observe(members[0].key, sum(member.cost for member in members), seconds)
        for queue, count in Counter(map(_queue_of, members)).items():
            self._queue_pace.observe(queue, count, seconds * count / len(members))

    def _submit_plain(self, member: Member) -> None:
        """A task without a batch form: exactly what Celery's own pool does."""
        options = dict(member.options)
        for name in ("callback", "error_callback"):
            options[name] = self._done(member, options.get(name))
        try:
            member.job = self._long_jobs[member] = self._apply_now(member.target, member.args, {}, **options)
        except Exception as error:  # noqa: BLE001 - it cannot be pickled
            member.fail(exception_info(error))

    def _done(self, job: object, callback: Callable[..., Any] | None) -> Callable[..., Any]:
        def on_done(*args: Any, **kwargs: Any) -> Any:
            self._long_jobs.pop(job, None)
            return callback(*args, **kwargs) if callback else None

        return on_done

    def _give_back(self, member: Member) -> None:
        """Take a member that has to run again."""
        if self._pool is not None and self._pool.is_running:
            self._line.put_back(member)
        else:
            _end_acknowledged([member], self._hooks)

    def _forget_line(self) -> None:
        _end_acknowledged(self._line.clear(), self._hooks)

    def _flush(self) -> None:
        """The connection to the broker is lost: it gives everything again that is not acknowledged."""
        for member in reversed(self._line.clear()):
            self._give_back(member)
        self._flush_processes()
        # Billiard forgets without a word what no process has begun.
        jobs = self._long_jobs.items()
        self._long_jobs = {key: job for key, job in jobs if job is not None and job.accepted() and not job.ready()}

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        # Celery shows for ever what the pool began with; Flower shows this as the pool's size.
        info["max-concurrency"] = self.num_processes
        info |= self._hooks.describe()
        info["batches"] = {"count": self._batches, "requests": self._batched, "waiting": len(self._line)}
        return info


def _key_and_cost(task: BatchTask, call: Call, size_bytes: int) -> tuple[Hashable, int] | None:
    """What decides with whom a call shares a batch; None if the task cannot tell, and then it runs alone."""
    try:
        key = task.name, task.batch_key(call)
        hash(key)
        return key, max(1, task.batch_cost(call, size_bytes))
    except Exception:
        logger.exception("%s cannot tell the batch of a call, which runs alone", task.name)
        return None


def _queue_of(member: Member) -> str | None:
    """Where it came from."""
    return member.request.delivery_info.get("routing_key") if member.request else None


def _end_acknowledged(members: Iterable[Member], hooks: PoolHooks) -> None:
    """End what nobody will run: the worker is shutting down, and the broker has forgotten these."""
    for member in members:
        if member.is_acknowledged:
            member.fail(exception_info(hooks.process_died("its process ended while its worker was shutting down")))


def _travelling(member: Member) -> BatchCall:
    name, task_id, headers, *_ = member.args
    sent = {key: value for key, value in headers.items() if key not in _IN_PAYLOAD}
    request = member.request
    return BatchCall(name, task_id, sent, request._payload, member.soft_limit_s, request.expires)  # noqa: SLF001
