"""Billiard's pool of processes: which of them can take a batch, and what the app is told of their starts and ends."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
from collections.abc import Callable
from typing import Any

from billiard.common import human_status
from billiard.pool import EX_RECYCLE
from celery.concurrency import prefork
from celery.concurrency.asynpool import AsynPool

from worker.pool import jobs
from worker.pool.hooks import PoolHooks, ProcessExit
from worker.pool.pipe_reader import ResultReader
from worker.pool.slots import Slots

__all__ = ["ProcessPool"]

logger = logging.getLogger(__name__)

#: Seconds to wait for the end of a process that is ending.
_EXIT_S = 1.0
#: What a process's pipe shall hold: a batch with its headers and more. Linux gives 64 KiB unless it is asked for more.
_PIPE_BYTES = 256 * 1024
#: Of a pipe where nobody can ask (macOS).
_SMALL_PIPE_BYTES = 16 * 1024


class ProcessPool(AsynPool):
    """The processes.

    Args:
        hooks: the app's.
    """

    ResultHandler = ResultReader

    def __init__(self, *args: Any, hooks: PoolHooks, **kwargs: Any) -> None:
        # `-O fast` would write to whichever process, idle or not.
        kwargs["sched_strategy"] = "fair"
        self._hooks = hooks
        self._pipe_bytes = _PIPE_BYTES
        self._up: set[int] = set()
        #: Called before each wait for events, to hand batches over.
        self.on_turn: Callable[[], None] = lambda: None
        self.on_process_down: Callable[[Any], None]
        self.on_poll_start: Callable[[], None]
        self._quick_put: Callable[[Any], None]
        super().__init__(*args, **kwargs)
        self._busy_workers: Slots = Slots(self._all_inqueues, self._fits_ahead)
        self._mark_worker_as_available = self._busy_workers.discard

    @property
    def num_up(self) -> int:
        """How many processes have reported that they are up."""
        return len(self._all_inqueues)

    @property
    def idle(self) -> int:
        """How many more jobs can begin at once: processes that are up and have none."""
        return self._busy_workers.idle - len(self.outbound_buffer)

    @property
    def busy(self) -> int:
        """How many processes have a job."""
        return self.num_up - self._busy_workers.idle

    @property
    def ahead(self) -> int:
        """How many more jobs can be written to processes that are computing another."""
        return self._busy_workers.free - len(self.outbound_buffer)

    @property
    def is_running(self) -> bool:
        """Whether it takes jobs."""
        return bool(self._state == prefork.RUN)

    def close(self) -> None:
        """Take no more jobs. One that is half written is finished, or its process would wait for the rest for ever."""
        if self.is_running:
            for process, writer in tuple(jobs.half_written(self._cache.values(), self._active_writers)):
                self._flush_writer(process, writer)
        super().close()

    def flush(self) -> None:
        """The connection is lost, or closed: forget what no process has begun.

        What a process has in its pipe it computes all the same. After a loss another worker does so too: it is kept,
        since it would have no time limit otherwise, and nobody hears of it. At the end of a worker it counts.
        """
        written = {number: job for number, job in self._cache.items() if jobs.is_unread(job)}
        super().flush()
        if self.is_running:
            for job in written.values():
                jobs.forget_callers(job)
        self._cache.update({number: job for number, job in written.items() if jobs.is_pending(job)})

    def create_process_queues(self) -> Any:
        """Make the pipes of a process, with room for a batch that it does not read yet."""
        queues = super().create_process_queues()
        self._pipe_bytes = min(self._pipe_bytes, _widen(queues[0]._writer.fileno()))  # noqa: SLF001
        return queues

    def process_flush_queues(self, proc: Any) -> None:
        """Read what a process that has ended has written."""
        if not self._result_handler.finish_partial_read(proc):
            super().process_flush_queues(proc)

    def _event_process_exit(self, hub: Any, proc: Any) -> None:
        """A process has closed its files, which it does a moment before it can be seen to have ended.

        Celery looks only then, and again after up to five seconds; so long its requests would wait.
        """
        proc._popen.wait(timeout=_EXIT_S)  # noqa: SLF001 - as Celery
        super()._event_process_exit(hub, proc)

    def grow(self, n: int = 1) -> None:
        """Add processes.

        Raises:
            ValueError: the app has no room for so many.
        """
        self._hooks.before_grow(n)
        super().grow(n)

    def register_with_event_loop(self, hub: Any) -> None:
        """Watch the first processes too: Celery bounds the start of those only that come later."""
        super().register_with_event_loop(hub)
        for process in self._pool:
            if not self._is_up(process):
                hub.call_later(self._proc_alive_timeout, self._end_if_not_up, process.pid)

    def on_process_alive(self, pid: int) -> None:
        """A process has reported that it is up, and gets work from now on."""
        super().on_process_alive(pid)
        self._up.add(pid)
        self._hooks.on_started(pid, len(self._up), self._processes)

    def _create_worker_process(self, i: int) -> Any:
        self._hooks.before_fork(i, self._indices())
        return super()._create_worker_process(i)

    def _indices(self) -> set[int]:
        return {process.index for process in self._pool}

    def _create_write_handlers(self, hub: Any, *args: Any, **kwargs: Any) -> None:
        super()._create_write_handlers(hub, *args, **kwargs)
        schedule_writes = self.on_poll_start

        def on_poll_start() -> None:
            self.on_turn()
            schedule_writes()

        self.on_poll_start = on_poll_start
        send_job = self._quick_put

        def quick_put(job: Any) -> None:
            try:
                send_job(job)
            except Exception:
                # It cannot be pickled; billiard would wait for its end for ever.
                self._cache.pop(job[1][0], None)
                raise

        self._quick_put = quick_put

    def _create_process_handlers(self, hub: Any) -> None:
        super()._create_process_handlers(hub)
        handle_down: Callable[[Any], None] = self.on_process_down

        def on_process_down(process: Any) -> None:
            self._busy_workers.forget(process.inqW_fd)
            handle_down(process)
            self._note_exit(process)

        self.on_process_down = on_process_down

    def _fits_ahead(self, fd: int) -> bool:
        """Whether the next job can be written in one piece to a process that computes another."""
        if not self.outbound_buffer:
            return True
        held_bytes = sum(jobs.size_in_pipe(job) for job in jobs.unread(self._cache.values(), fd))
        return held_bytes + jobs.size_in_pipe(self.outbound_buffer[0]) <= self._pipe_bytes

    def _note_exit(self, process: Any) -> None:
        had_started = process.pid in self._up
        self._up.discard(process.pid)
        was_ordered = process._controlled_termination or process.exitcode == EX_RECYCLE  # noqa: SLF001 - billiard's own
        status = human_status(process.exitcode)
        ended = ProcessExit(process.pid, status, had_started, bool(was_ordered), self.is_running)
        self._hooks.on_exit(ended, self._indices(), self._processes)

    def _is_up(self, process: Any) -> bool:
        return process.inqW_fd in self._all_inqueues

    def _end_if_not_up(self, pid: int) -> None:
        if any(process.pid == pid and not self._is_up(process) for process in self._pool):
            logger.error("process %d did not report that it is up in %g s", pid, self._proc_alive_timeout)
            os.kill(pid, signal.SIGKILL)


def _widen(pipe: int) -> int:
    """Make a pipe hold :data:`_PIPE_BYTES` if that is allowed, and tell how much it holds."""
    set_size = getattr(fcntl, "F_SETPIPE_SZ", None)
    if set_size is None:
        return _SMALL_PIPE_BYTES
    try:
        return fcntl.fcntl(pipe, set_size, _PIPE_BYTES)
    except OSError:
        # This user's pipes hold as much as they may in all.
        return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
