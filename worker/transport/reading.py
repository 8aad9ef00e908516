"""The lists of a channel in the order of its queue cycle, made anew only when that order changes."""

from __future__ import annotations

from hashlib import sha1
from typing import Any

from worker.transport.queue_levels import Levels, read_order

__all__ = ["ReadOrder"]

_MAX_REMEMBERED = 64


class ReadOrder:
    """What a fetch reads, by the channel's active queues and cycle."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._remembered: dict[tuple[Any, ...], tuple[Levels, tuple[str, ...], str]] = {}

    def now(self) -> tuple[Levels, tuple[str, ...], str]:
        """Levels, lists with their prefix in the order of the levels, and a name for this set of lists."""
        channel, cycle = self._channel, self._channel._queue_cycle  # noqa: SLF001 - kombu's
        active = channel.active_queues
        key = (tuple(cycle.consume(len(active))), tuple(channel.priority_steps), len(active))
        made = self._remembered.get(key)
        if made is None:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            made = self._remembered[key] = self._make(active)
        return made

    def _make(self, active: list[str]) -> tuple[Levels, tuple[str, ...], str]:
        channel = self._channel
        levels = read_order(channel._queue_cycle, active, channel.priority_steps)  # noqa: SLF001 - kombu's
        lists = tuple(
            channel.global_keyprefix + channel._q_for_pri(queue, priority)  # noqa: SLF001 - kombu's
            for priority, first, count in levels.runs
            for queue in levels.queues[first : first + count]
        )
        group = sha1("\n".join(sorted(lists)).encode(), usedforsecurity=False).hexdigest()[:12]
        return levels, lists, group

    def rotate(self, queue: str) -> None:
        """A queue gave a message."""
        self._channel._queue_cycle.rotate(queue)  # noqa: SLF001 - kombu's
