"""Billiard's pool of processes, and which of them can take a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from celery.concurrency import prefork
from celery.concurrency.asynpool import AsynPool

from worker.pool import billiard_adapter, pipes
from worker.pool.billiard_adapter import Job, PoolProcess
from worker.pool.celery_adapter import Hub
from worker.pool.hang_watch import HangWatch, Overdue
from worker.pool.hooks import PoolHooks
from worker.pool.lifecycle import Lifecycle
from worker.pool.parent_signals import initialize
from worker.pool.pipe_reader import PipeReader
from worker.pool.slots import Slots
from worker.pool.start_watch import StartWatch

__all__ = ["ProcessPool"]

#: How long to wait for a process that is exiting, in seconds.
_EXIT_S = 1.0

#: A pickled call's outer shape: billiard's type of message, and the job's number with what it runs.
_Message = tuple[int, tuple[int, object, object, object, object]]


class ProcessPool(AsynPool):
    """The processes.

    Args:
        hooks: the app's.
        on_turn: called on every turn of the event loop, before jobs are written to processes.
    """

    ResultHandler = PipeReader

    def __init__(
        self,
        *args: object,
        hooks: PoolHooks,
        on_turn: Callable[[], None],
        initializer: Callable[..., object] | None = None,
        **kwargs: object,
    ) -> None:
        # `-O fast` would write to any process, idle or not.
        kwargs["sched_strategy"] = "fair"
        kwargs["initializer"] = partial(initialize, initializer)
        self._hooks = hooks
        self._on_turn = on_turn
        self._lifecycle = Lifecycle(hooks)
        self._pipe_bytes = pipes.PIPE_BYTES
        #: Processes that are being replaced, by pid, and whether each has been ordered to end.
        self._leaving: dict[int, tuple[PoolProcess, bool]] = {}
        self.on_process_down: Callable[[PoolProcess], None]
        self.on_poll_start: Callable[[], None]
        self._quick_put: Callable[[_Message], None]
        super().__init__(*args, **kwargs)
        self._start_watch = StartWatch(self._starting, self._proc_alive_timeout)
        self._hang_watch = HangWatch(self._overdue)
        self._busy_workers: Slots = Slots(self._all_inqueues, self._fits_ahead)
        self._mark_worker_as_available = self._busy_workers.discard

    @property
    def num_up(self) -> int:
        """How many processes have reported that they are up."""
        return len(self._all_inqueues)

    @property
    def idle(self) -> int:
        """How many more jobs can begin at once: processes that are up and have no job."""
        return self._busy_workers.idle - len(self.outbound_buffer)

    @property
    def busy(self) -> int:
        """How many processes have a job."""
        return self.num_up - self._busy_workers.idle

    @property
    def ahead(self) -> int:
        """How many more jobs can be written to processes, including those that are computing another."""
        return self._busy_workers.free - len(self.outbound_buffer)

    @property
    def pids(self) -> list[int]:
        """All processes, those that are starting or ending included."""
        return [process.pid for process in self._pool]

    @property
    def pids_up(self) -> list[int]:
        """The processes that are up and stay, those without a job first."""
        staying = [process for process in self._pool if self._is_up(process) and process.pid not in self._leaving]
        staying.sort(key=lambda process: not self._busy_workers.has_no_job(process.inqW_fd))
        return [process.pid for process in staying]

    @property
    def is_changing(self) -> bool:
        """Whether a process is starting, missing or being replaced."""
        return bool(self._leaving) or len(self._pool) < self._processes or bool(self._starting())

    @property
    def is_running(self) -> bool:
        """Whether it takes jobs."""
        return bool(self._state == prefork.RUN)

    def close(self) -> None:
        """Take no more jobs. A half-written job is written to its end, or its process would wait for it forever."""
        if self.is_running:
            half_written = billiard_adapter.half_written(self._cache.values(), self._active_writers)
            for process, writer in tuple(half_written):
                self._flush_writer(process, writer)
        super().close()

    def has(self, job: Job) -> bool:
        """Whether a job has not ended, and is not forgotten."""
        return any(known is job for known in self._cache.values())

    def kill(self) -> None:
        """End all processes at once, whatever they do; also from a signal handler or another thread."""
        self._kill(tuple(self._pool))

    def kill_starting(self) -> None:
        """End the processes that are not up: what they load is not needed any more."""
        self._kill(self._starting())

    @staticmethod
    def _kill(processes: Iterable[PoolProcess]) -> None:
        for process in processes:
            billiard_adapter.kill(process)

    def flush(self) -> None:
        """Forget the jobs that no process has begun. Called when the connection is lost or closed.

        A process computes what is in its pipe nevertheless. If the connection is lost, another worker computes it too:
        the job is kept, so that its time limit applies, but its end is not reported. When the worker shuts down, its
        end is reported.
        """
        written = {number: job for number, job in self._cache.items() if billiard_adapter.is_unread(job)}
        super().flush()
        if self.is_running:
            for job in written.values():
                billiard_adapter.drop_callbacks(job)
        self._cache.update({number: job for number, job in written.items() if billiard_adapter.is_pending(job)})

    def create_process_queues(self) -> object:
        """Make the pipes of a process, large enough for a batch that it does not read yet."""
        queues: object = super().create_process_queues()
        self._pipe_bytes = min(self._pipe_bytes, pipes.widen(billiard_adapter.input_fd(queues)))
        return queues

    def process_flush_queues(self, proc: PoolProcess) -> None:
        """Read what a process wrote before it ended."""
        if not self._result_handler.finish_partial_read(proc):
            super().process_flush_queues(proc)

    def grow(self, n: int = 1) -> None:
        """Add processes.

        Raises:
            ValueError: the app does not allow so many more.
        """
        self._hooks.before_grow(n)
        super().grow(n)

    def replace(self, pid: int) -> None:
        """Let a process finish its jobs and end. Another one then starts in its place; nothing is lost.

        Raises:
            ValueError: no process with this pid is up.
        """
        process = next((process for process in self._pool if process.pid == pid and self._is_up(process)), None)
        if process is None:
            raise ValueError(f"no process with pid {pid} is up")
        if pid not in self._leaving:
            self._busy_workers.close(process.inqW_fd)
            self._leaving[pid] = process, False
            self._end_leaving()

    def _end_leaving(self) -> None:
        """Order the processes that are being replaced to end, once they have no job."""
        for pid, (process, is_ordered) in self._leaving.items():
            if not is_ordered and self._busy_workers.has_no_job(process.inqW_fd):
                self._leaving[pid] = process, True
                billiard_adapter.end(process)

    def register_with_event_loop(self, hub: Hub) -> None:
        """Begin to work on an event loop; called again after each loss of the connection."""
        super().register_with_event_loop(hub)
        self._start_watch.begin(hub)
        self._hang_watch.begin(hub)

    def on_process_alive(self, pid: int) -> None:
        """A process has reported that it is up, and gets jobs from now on."""
        super().on_process_alive(pid)
        self._lifecycle.on_up(pid, self._processes)

    def on_partial_read(self, job: Job, proc: PoolProcess) -> None:
        """A process has ended before it began with a job.

        Celery gives the job to another one, without limit. Here that counts as a death with the job if nothing else can
        have ended the process: there may not be enough memory to read it.
        """
        is_only_job = not proc.dead and self._busy_workers.jobs(proc.inqW_fd) == 1
        has_failed = proc.exitcode != 0 and not billiard_adapter.exit_was_ordered(proc)
        super().on_partial_read(job, proc)
        if is_only_job and has_failed and job in self.outbound_buffer:
            self.outbound_buffer.remove(job)
            job.discard()
            self.mark_as_worker_lost(job, proc.exitcode)

    def _create_worker_process(self, i: int) -> object:
        self._lifecycle.on_fork(i, self._pool)
        process: object = super()._create_worker_process(i)
        return process

    def _event_process_exit(self, hub: Hub, proc: PoolProcess) -> None:
        """A process has closed its files, which happens shortly before its end becomes visible.

        Celery looks at once, and then again only after up to five seconds; its requests would wait for so long.
        """
        billiard_adapter.wait_for_exit(proc, _EXIT_S)
        super()._event_process_exit(hub, proc)

    def _create_write_handlers(self, hub: Hub, *args: object, **kwargs: object) -> None:
        super()._create_write_handlers(hub, *args, **kwargs)
        schedule_writes, send_job = self.on_poll_start, self._quick_put

        def on_poll_start() -> None:
            self._end_leaving()
            self._on_turn()
            schedule_writes()

        def quick_put(message: _Message) -> None:
            try:
                send_job(message)
            except Exception:
                # It cannot be pickled. Billiard would wait for its end forever.
                number, *_ = message[1]
                self._cache.pop(number, None)
                raise

        self.on_poll_start = on_poll_start
        self._quick_put = quick_put

    def _create_process_handlers(self, hub: Hub) -> None:
        super()._create_process_handlers(hub)
        handle_down = self.on_process_down

        def on_process_down(process: PoolProcess) -> None:
            self._busy_workers.forget(process.inqW_fd)
            self._leaving.pop(process.pid, None)
            handle_down(process)
            self._lifecycle.on_down(process, self._pool, self._processes, is_pool_running=self.is_running)

        self.on_process_down = on_process_down

    def _fits_ahead(self, fd: int) -> bool:
        """Whether the next job fits into the pipe of a process that computes another."""
        if not self.outbound_buffer:
            return True
        unread = billiard_adapter.unread_in_pipe(self._cache.values(), fd)
        next_bytes = billiard_adapter.size_in_pipe_bytes(self.outbound_buffer[0])
        return sum(map(billiard_adapter.size_in_pipe_bytes, unread)) + next_bytes <= self._pipe_bytes

    def _overdue(self) -> Iterator[Overdue]:
        # While the pool stops, a thread calls this.
        jobs, processes = list(self._cache.values()), list(self._pool)
        computing = billiard_adapter.computing(jobs)
        for pid, job in billiard_adapter.unbegun(jobs).items():
            if pid not in computing:
                yield Overdue(pid, f"begun {job}")
        for process in processes:
            _, is_ordered = self._leaving.get(process.pid, (process, not self.is_running))
            if is_ordered and process.pid not in computing and billiard_adapter.is_alive(process):
                yield Overdue(process.pid, "ended")

    def _starting(self) -> Sequence[PoolProcess]:
        return [process for process in self._pool if not self._is_up(process)]

    def _is_up(self, process: PoolProcess) -> bool:
        return process.inqW_fd in self._all_inqueues
