"""Billiard's jobs and processes, as far as the pool uses them. Much of it is private, and none of it has types."""

# ruff: noqa: N815, SLF001

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Protocol, TypedDict

from billiard.pool import EX_RECYCLE

__all__ = [
    "Job",
    "JobOptions",
    "PoolProcess",
    "computing",
    "drop_callbacks",
    "end",
    "exit_was_ordered",
    "half_written",
    "has_output",
    "input_fd",
    "is_alive",
    "is_pending",
    "is_unread",
    "kill",
    "size_in_pipe_bytes",
    "unbegun",
    "unread_in_pipe",
    "wait_for_exit",
]

#: A pipe is filled page by page, and a job is written in two pieces.
_PAGE_BYTES = 4096


class JobOptions(TypedDict, total=False):
    """Options of ``Pool.apply_async``: callbacks, and time limits in seconds."""

    accept_callback: Callable[[int, float], object] | None
    callback: Callable[[Any], object] | None
    error_callback: Callable[[Any], object] | None
    timeout_callback: Callable[..., object] | None
    soft_timeout: float | None
    timeout: float | None
    callbacks_propagate: Sequence[type[BaseException]]
    waitforslot: bool
    correlation_id: str


class Job(Protocol):
    """A job as ``Pool.apply_async`` returns it (``ApplyResult``)."""

    _job: int
    _payload: tuple[memoryview, memoryview, int]
    _write_to: Any
    _accepted: bool
    _worker_pid: int | None
    _accept_callback: object
    _callback: object
    _error_callback: object
    _timeout_callback: object

    def ready(self) -> bool:
        """Whether it has ended."""

    def accepted(self) -> bool:
        """Whether a process has begun with it."""

    def discard(self) -> None:
        """Forget it."""

    def terminate(self, signum: int) -> None:
        """Record that it was terminated by a signal."""


class PoolProcess(Protocol):
    """One of the pool's processes. ``inqW_fd`` and ``outqR_fd`` are the parent's ends of its two pipes."""

    index: int
    pid: int
    dead: bool
    inqW_fd: int
    outqR_fd: int
    outq: Any
    _controlled_termination: bool
    _popen: Any

    @property
    def exitcode(self) -> int | None:
        """Its exit status; negative if a signal ended it, None while it runs."""

    def _is_alive(self) -> bool: ...


def is_unread(job: Job) -> bool:
    """Whether a job was written to a process's pipe, at least in part, and the process has not begun with it."""
    return not job._accepted and job._write_to is not None


def computing(jobs: Collection[Job]) -> set[int]:
    """The processes that have begun a job and have not reported its end, by pid."""
    return {job._worker_pid for job in jobs if job._accepted and job._worker_pid is not None and not job.ready()}


def unbegun(jobs: Collection[Job]) -> dict[int, str]:
    """The first job that was written to each process and is not begun: its name, by the process's pid."""
    found: dict[int, str] = {}
    for job in jobs:
        if is_unread(job) and job._write_to._is_alive():
            found.setdefault(job._write_to.pid, f"job {job._job}")
    return found


def unread_in_pipe(jobs: Collection[Job], fd: int) -> Iterator[Job]:
    """The jobs in the pipe ``fd``."""
    return (job for job in jobs if is_unread(job) and job._write_to.inqW_fd == fd)


def size_in_pipe_bytes(job: Job) -> int:
    """How much of a pipe a pickled job takes up at most."""
    return job._payload[2] + 2 * _PAGE_BYTES


def half_written(jobs: Collection[Job], writers: Collection[object]) -> Iterator[tuple[PoolProcess, object]]:
    """Process and writer of each job that is being written."""
    for job in jobs:
        writer = getattr(job, "_writer", None)
        if writer is not None and writer() in writers:
            yield job._write_to, writer()


def drop_callbacks(job: Job) -> None:
    """Make a job end without a report."""
    job._accept_callback = job._callback = job._error_callback = job._timeout_callback = None


def is_pending(job: Job) -> bool:
    """Whether a written job has not ended, and its process can still compute it."""
    return not job.ready() and bool(job._write_to._is_alive())


def is_alive(process: PoolProcess) -> bool:
    """Whether a process has not ended."""
    return process._is_alive()


def wait_for_exit(process: PoolProcess, timeout_s: float) -> None:
    """Wait until a process that is exiting has ended."""
    process._popen.wait(timeout=timeout_s)


def end(process: PoolProcess) -> None:
    """Order a process without a job to end."""
    process._controlled_termination = True
    process._popen.terminate()


def kill(process: PoolProcess) -> None:
    """End a process at once, and expect it to end."""
    process._controlled_termination = True
    # The number of one that has been waited for may belong to another process by now.
    if process._popen is not None and process._popen.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def exit_was_ordered(process: PoolProcess) -> bool:
    """Whether the pool told a process to exit, or recycled it."""
    return bool(process._controlled_termination) or process.exitcode == EX_RECYCLE


def has_output(process: PoolProcess, timeout_s: float) -> bool:
    """Whether a process's results can be read, waiting up to ``timeout_s``.

    Raises:
        OSError: the pipe is closed.
    """
    return bool(process.outq._reader.poll(timeout_s))


def input_fd(queues: Any) -> int:
    """The parent's end of the input pipe, of the queues that were made for a process."""
    fd: int = queues[0]._writer.fileno()
    return fd
