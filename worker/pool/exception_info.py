"""Exceptions in the form in which billiard and Celery pass them around."""

from __future__ import annotations

from typing import NoReturn

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback

__all__ = ["OutOfMemory", "exception_info", "exception_of", "without_memory_error"]


class OutOfMemory(Exception):
    """Replaces a task's ``MemoryError`` in Celery's callbacks.

    They take a ``MemoryError`` for one of the worker's own and raise it again: the request is then neither
    acknowledged nor reported as failed, and is delivered again (celery/celery#10462).
    """

    def __repr__(self) -> str:
        return f"MemoryError{self.args!r}"


def exception_info(error: BaseException) -> ExceptionInfo:
    """Wrap an exception as Celery's callbacks expect it."""
    try:
        _raise(error)
    except BaseException:  # noqa: BLE001 - raised right here
        info = ExceptionInfo()
        # Without billiard's wrapper, which is for exceptions that were pickled: it would show up in events.
        info.exception = error
        return info


def exception_of(info: ExceptionInfo) -> BaseException:
    """The exception itself; billiard wraps those that come from a process."""
    exception: BaseException = info.exception
    if isinstance(exception, ExceptionWithTraceback):
        exception = exception.exc
    return exception


def without_memory_error(info: ExceptionInfo) -> ExceptionInfo:
    """``info``, with a ``MemoryError`` replaced by :class:`OutOfMemory`."""
    exception = exception_of(info)
    if not isinstance(exception, MemoryError):
        return info
    replaced = exception_info(OutOfMemory(*exception.args))
    replaced.traceback = info.traceback
    return replaced


def _raise(error: BaseException) -> NoReturn:
    # Keeps the exception that billiard is handling at the moment out of the traceback.
    raise error from error.__cause__
