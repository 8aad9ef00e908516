"""Hides a result that contains text of the request from events, logs and Flower.

Celery includes ``repr(result)`` in the event and the log line of every success (``celery.app.trace``). A zero-shot
result contains the text, and an answer to a question is a part of the context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["HIDDEN", "HiddenResult"]

#: Replaces arguments and results wherever they would be shown.
HIDDEN = "<hidden>"


@dataclass(frozen=True)
class HiddenResult:
    """Stored as ``value`` (kombu's JSON encoder calls ``__json__``), shown as :data:`HIDDEN`."""

    value: Any

    def __json__(self) -> Any:
        return self.value

    def __repr__(self) -> str:
        return HIDDEN
