"""The lists of a channel in the order of its queue cycle, made anew only when that order changes."""

from __future__ import annotations

from hashlib import sha1
from time import monotonic
from typing import Any

from worker.transport.queue_levels import Levels, read_order

__all__ = ["ReadOrder"]

_MAX_REMEMBERED = 64


class ReadOrder:
    """What a fetch reads, by the channel's active queues and cycle."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._remembered: dict[tuple[Any, ...], tuple[Levels, tuple[str, ...], str]] = {}
        #: Queues that are left to other consumers, and until when, on the monotonic clock.
        self._paused_until_s: dict[str, float] = {}

    def now(self) -> tuple[Levels, tuple[str, ...], str]:
        """Levels, lists with their prefix in the order of the levels, and a name for this set of lists."""
        channel, cycle = self._channel, self._channel._queue_cycle  # noqa: SLF001 - kombu's
        active = channel.active_queues
        paused = self._paused()
        key = (tuple(cycle.consume(len(active))), tuple(channel.priority_steps), len(active), paused)
        made = self._remembered.get(key)
        if made is None:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            made = self._remembered[key] = self._make(active, paused)
        return made

    def pause(self, queue: str, seconds: float) -> None:
        """Leave a queue out for a while."""
        self._paused_until_s[queue] = monotonic() + seconds

    def reads_any(self) -> bool:
        """Whether any queue is left to read."""
        return bool(self.now()[0].queues)

    def _paused(self) -> frozenset[str]:
        if not self._paused_until_s:
            return frozenset()
        now_s = monotonic()
        self._paused_until_s = {queue: at_s for queue, at_s in self._paused_until_s.items() if at_s > now_s}
        return frozenset(self._paused_until_s)

    def _make(self, active: list[str], paused: frozenset[str]) -> tuple[Levels, tuple[str, ...], str]:
        channel = self._channel
        levels = read_order(channel._queue_cycle, active, channel.priority_steps, paused)  # noqa: SLF001 - kombu's
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
