"""A result that repeats parts of its request, kept out of events, logs and Flower.

Celery shows ``repr(result)`` in the event and the log line of every success (``celery.app.trace``). A zero-shot result
holds the text, and an answer is a piece of the context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.intake.request import HIDDEN

__all__ = ["HiddenResult"]


@dataclass(frozen=True)
class HiddenResult:
    """Stored as ``value`` is (kombu's JSON encoder asks for ``__json__``), shown as nothing."""

    value: Any

    def __json__(self) -> Any:
        return self.value

    def __repr__(self) -> str:
        return HIDDEN
