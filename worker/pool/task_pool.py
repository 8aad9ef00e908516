"""``worker_pool``: what Celery instantiates, and where requests wait for a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery import signals
from celery.app import trace
from celery.concurrency import prefork

from worker.held_work import estimator
from worker.pool.batch import Batch
from worker.pool.batch_task import BatchTask, Call
from worker.pool.line import BatchLimits, Line
from worker.pool.member import Member
from worker.pool.process_pool import ProcessPool
from worker.pool.run import BatchCall, run_batch, use_batch_clock
from worker.queue_order import is_bulk

__all__ = ["TaskPool"]

_TRACERS = (trace.fast_trace_task, trace.trace_task_ret)
#: Headers that the tracer sets itself, from the payload.
_IN_PAYLOAD = frozenset({"args", "kwargs"})


class TaskPool(prefork.TaskPool):
    """Requests go to a free process at once; while all are busy they gather, and go together.

    A batch is cut at the end of a turn of the event loop, so that what arrives together is answered together.
    """

    Pool = ProcessPool
    #: Celery would hold requests back until a process is free, one by one.
    uses_semaphore = False

    def on_start(self) -> None:
        """Make the processes."""
        settings = getattr(self.app, "celeriac_settings", None)
        limits = BatchLimits(settings.batch.max_requests, settings.batch.max_cost) if settings else BatchLimits()
        self._limits = limits
        self._line = Line(limits)
        #: Jobs that may take long: nothing is written behind them.
        self._long_jobs: set[object] = set()
        self._batches = self._batched = 0
        signals.worker_process_init.connect(use_batch_clock, weak=False, dispatch_uid="celeriac.pool")
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
        self._line.clear()
        super().on_close()

    def on_stop(self) -> None:
        """Let what runs finish."""
        self._line.clear()
        super().on_stop()

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
        member = Member(target, args, options, request, size_bytes=len(body) if isinstance(body, (str, bytes)) else 0)
        if request is None or not isinstance(task, BatchTask):
            member.alone = True
            return member
        call = Call(args[2], request.args, request.kwargs)
        member.key = (args[0], task.batch_key(call))
        member.cost = max(1, task.batch_cost(call, member.size_bytes))
        member.is_bulk = is_bulk(request.delivery_info.get("routing_key"))
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
        return not self._long_jobs and self._line.fills(1) and self._pool.ahead > 0

    def _submit(self, members: list[Member]) -> None:
        if members[0].key is None:
            self._submit_plain(members[0])
            return
        batch = Batch(members, self._line.put_back, estimator.observe)
        if sum(member.cost for member in members) > self._limits.cost:
            self._long_jobs.add(batch)
        self._batches += 1
        self._batched += len(members)
        self._apply_now(
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

    def _submit_plain(self, member: Member) -> None:
        """A task without a batch form: exactly what Celery's own pool does."""
        self._long_jobs.add(member)
        options = dict(member.options)
        for name in ("callback", "error_callback"):
            options[name] = self._done(member, options[name])
        member.job = self._apply_now(member.target, member.args, {}, **options)
        if member.job is not None and member.terminated is not None:
            member.job.terminate(member.terminated)

    def _done(self, job: object, callback: Callable[..., Any]) -> Callable[..., Any]:
        def on_done(*args: Any, **kwargs: Any) -> Any:
            self._long_jobs.discard(job)
            return callback(*args, **kwargs)

        return on_done

    def _flush(self) -> None:
        """The connection to the broker is lost: it gives everything again that is not acknowledged."""
        self._line.clear()
        self._flush_processes()
        # Billiard forgets jobs without a word.
        self._long_jobs.clear()

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        info["cores"] = {str(pid): list(report.cores) for pid, report in self._pool.started.items()}
        info["start-seconds"] = {str(pid): round(r.seconds, 3) for pid, r in self._pool.started.items()}
        info["batches"] = {"count": self._batches, "requests": self._batched, "waiting": len(self._line)}
        return info


def _travelling(member: Member) -> BatchCall:
    name, task_id, headers, *_ = member.args
    sent = {key: value for key, value in headers.items() if key not in _IN_PAYLOAD}
    request = member.request
    return BatchCall(name, task_id, sent, request._payload, member.soft_limit_s, request.expires)  # noqa: SLF001
