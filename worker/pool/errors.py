"""Errors of the pool itself."""

from __future__ import annotations

__all__ = ["PoolError", "ProcessDied"]


class PoolError(Exception):
    """The pool could not run a request."""


class ProcessDied(PoolError):
    """Processes died while they computed a request, as often as it may be tried."""
