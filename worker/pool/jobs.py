"""What must be known of billiard's ``ApplyResult``, which says none of it publicly."""

# ruff: noqa: SLF001

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

__all__ = ["forget_callers", "half_written", "is_pending", "is_unread", "size_in_pipe", "unread"]

#: A pipe is filled by pages, and a job is written in two pieces.
_PAGE_BYTES = 4096


def is_unread(job: Any) -> bool:
    """Whether a process has a job, at least a part of it, in its pipe, and has not begun with it."""
    return not job._accepted and job._write_to is not None


def unread(jobs: Collection[Any], fd: int) -> Iterator[Any]:
    """The jobs that are in the pipe ``fd``."""
    return (job for job in jobs if is_unread(job) and job._write_to.inqW_fd == fd)


def size_in_pipe(job: Any) -> int:
    """Bytes that a pickled job takes in a pipe, at most."""
    size_bytes: int = job._payload[2]
    return size_bytes + 2 * _PAGE_BYTES


def half_written(jobs: Collection[Any], writers: Collection[Any]) -> Iterator[tuple[Any, Any]]:
    """Process and writer of each job that is being written."""
    for job in jobs:
        writer = getattr(job, "_writer", None)
        if writer is not None and writer() in writers:
            yield job._write_to, writer()


def forget_callers(job: Any) -> None:
    """Tell nobody of a job's end any more."""
    job._accept_callback = job._callback = job._error_callback = job._timeout_callback = None


def is_pending(job: Any) -> bool:
    """Whether a written job has still to end."""
    return not job.ready() and bool(job._write_to._is_alive())
