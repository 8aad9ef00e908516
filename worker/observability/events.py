"""Sends task events in groups.

Celery publishes in every iteration of its event loop: two or three events at a time, each time with a Redis command.
"""

from __future__ import annotations

from typing import Any

from celery.app.events import Events as CeleryEvents
from celery.events.dispatcher import EventDispatcher as CeleryEventDispatcher

__all__ = ["FLUSH_S", "EventDispatcher", "Events"]

#: How long a task event may wait for others.
FLUSH_S = 0.1
#: This many events are sent at once.
_MAX_BUFFERED = 256


class EventDispatcher(CeleryEventDispatcher):
    """Buffers more events than Celery's dispatcher, and keeps them when the connection is lost."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"buffer_limit": _MAX_BUFFERED, **kwargs})

    def extend_buffer(self, other: CeleryEventDispatcher) -> None:
        """Take over the events that a dispatcher with a lost connection has not sent."""
        super().extend_buffer(other)
        for group, events in other._group_buffer.items():  # noqa: SLF001 - Celery drops these
            self._group_buffer[group].extend(events)


class Events(CeleryEvents):
    """``app.events`` with our dispatcher."""

    dispatcher_cls = f"{__name__}:{EventDispatcher.__name__}"
