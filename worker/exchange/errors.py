"""Why a new revision is not taken."""

from __future__ import annotations

__all__ = ["ExchangeError"]


class ExchangeError(Exception):
    """A new revision is not taken; the worker goes on with what it serves."""
