"""Errors that the pool itself raises."""

from __future__ import annotations

__all__ = ["PoolError", "ProcessDied"]


class PoolError(Exception):
    """The pool could not run a request."""


class ProcessDied(PoolError):
    """Every process that computed the request died, and it may not be tried again."""
