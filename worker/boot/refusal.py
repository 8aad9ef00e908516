"""Ends a worker that must not start."""

from __future__ import annotations

from typing import NoReturn

from worker.observability import logs

__all__ = ["EXIT_CANNOT_START", "refuse_to_start"]

#: Exit status of a worker that cannot start: a model, the cores or an option is at fault.
EXIT_CANNOT_START = 78


def refuse_to_start(message: str) -> NoReturn:
    """End the worker with status :data:`EXIT_CANNOT_START`."""
    # Celery has not set up logging yet.
    logs.write_to_stderr(f"this worker cannot start: {message}")
    raise SystemExit(EXIT_CANNOT_START)
