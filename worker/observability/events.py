"""Events about tasks, sent together.

Celery publishes at each turn of its event loop, two or three events at a time, each time with a command to Redis.
"""

from __future__ import annotations

from typing import Any

from celery.app.events import Events as CeleryEvents
from celery.events.dispatcher import EventDispatcher as CeleryEventDispatcher

__all__ = ["FLUSH_S", "EventDispatcher", "Events"]

#: How long an event about a task may wait for others.
FLUSH_S = 0.1
#: This many do not wait any longer.
_MOST_WAITING = 256


class EventDispatcher(CeleryEventDispatcher):
    """Holds more events back than Celery's, and does not lose them with its connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"buffer_limit": _MOST_WAITING, **kwargs})

    def extend_buffer(self, other: CeleryEventDispatcher) -> None:
        """Take over what a dispatcher whose connection is gone has not sent."""
        super().extend_buffer(other)
        for group, events in other._group_buffer.items():  # noqa: SLF001 - Celery forgets these
            self._group_buffer[group].extend(events)


class Events(CeleryEvents):
    """``app.events`` with our dispatcher."""

    dispatcher_cls = f"{__name__}:{EventDispatcher.__name__}"
