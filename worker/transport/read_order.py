"""The order in which a fetch reads lists.

kombu's BRPOP takes one message: it looks at all queues at priority 0, then at all at priority 3 and so on, and moves
the queue that gave the message behind the others. A fetch takes many messages in the same order: level after level, a
level being the queues of one class at one priority. Within a level the lists either share the credit, or each is
emptied before the next.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha1
from time import monotonic
from typing import NamedTuple

from kombu.utils.scheduling import priority_cycle

from worker.transport.protocols import FetchingChannel, QueueCycle

__all__ = ["NO_READS", "Level", "LevelOrder", "ReadOrder", "ReadPlan", "level_order"]

_MAX_REMEMBERED = 64


class Level(NamedTuple):
    """Queues that are read together: ``size`` of them, from the one with index ``first`` on."""

    priority: int
    first: int
    size: int


@dataclass(frozen=True)
class LevelOrder:
    """What is read before what.

    Attributes:
        queues: the queues in order.
        levels: the levels in order.
        fair: whether the lists of a level share the credit. If not, each is emptied before the next.
    """

    queues: tuple[str, ...]
    levels: tuple[Level, ...]
    fair: bool


@dataclass(frozen=True)
class ReadPlan:
    """What one fetch reads.

    Attributes:
        order: queues and levels.
        lists: the keys of the lists, level after level.
        idle_group: names the set of these lists. Consumers of the same lists wait in one line.
    """

    order: LevelOrder
    lists: tuple[str, ...]
    idle_group: str


NO_READS = ReadPlan(LevelOrder((), (), fair=False), (), "")


def level_order(
    cycle: QueueCycle, active: Sequence[str], priorities: Sequence[int], left_out: Collection[str] = ()
) -> LevelOrder:
    """The levels for the current order of a queue cycle.

    A cycle may have a method ``classes()`` that returns lists of queue names: every priority of one class is read
    before the next class. Without it all queues are one class, as for BRPOP.

    Args:
        cycle: kombu's queue cycle, or one like it.
        active: the queues that are consumed.
        priorities: the priority steps, the most urgent first.
        left_out: queues that are not read.
    """
    queues = [queue for queue in cycle.consume(len(active)) if queue not in left_out]
    classes = [[queue for queue in names if queue in queues] for names in _classes_of(cycle)]
    if sum(map(len, classes)) != len(queues):
        classes = [queues]
    levels, first = [], 0
    for names in classes:
        if names:
            levels += [Level(priority, first, len(names)) for priority in priorities]
        first += len(names)
    ordered = tuple(queue for names in classes for queue in names)
    return LevelOrder(ordered, tuple(levels), fair=not isinstance(cycle, priority_cycle))


def _classes_of(cycle: QueueCycle) -> list[list[str]]:
    classes = getattr(cycle, "classes", None)
    return classes() if callable(classes) else []


class ReadOrder:
    """What a channel's fetches read. A plan is made only when the order of the queues changes."""

    def __init__(self, channel: FetchingChannel) -> None:
        self._channel = channel
        self._plans: dict[tuple[object, ...], ReadPlan] = {}
        #: Queues that are left to other consumers, and until when on the monotonic clock.
        self._paused_until_s: dict[str, float] = {}

    def plan(self) -> ReadPlan:
        """What a fetch reads now."""
        channel = self._channel
        active, paused = channel.active_queues, self._paused()
        key = (tuple(channel.queue_cycle.consume(len(active))), tuple(channel.priority_steps), len(active), paused)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MAX_REMEMBERED:
                self._plans.clear()
            plan = self._plans[key] = self._make_plan(active, paused)
        return plan

    def reads_any(self) -> bool:
        """Whether there is any queue to read now."""
        return bool(self._channel.active_queues) and bool(self.plan().order.queues)

    def pause(self, queue: str, seconds: float) -> None:
        """Leave a queue out for a while."""
        self._paused_until_s[queue] = monotonic() + seconds

    def rotate(self, queue: str) -> None:
        """Move on after a queue has given a message."""
        self._channel.queue_cycle.rotate(queue)

    def _paused(self) -> frozenset[str]:
        now_s = monotonic()
        return frozenset(queue for queue, until_s in self._paused_until_s.items() if until_s > now_s)

    def _make_plan(self, active: Sequence[str], paused: frozenset[str]) -> ReadPlan:
        channel = self._channel
        order = level_order(channel.queue_cycle, active, channel.priority_steps, paused)
        lists = tuple(
            channel.list_key(queue, priority)
            for priority, first, size in order.levels
            for queue in order.queues[first : first + size]
        )
        group = sha1("\n".join(sorted(lists)).encode(), usedforsecurity=False).hexdigest()[:12]
        return ReadPlan(order, lists, group)
