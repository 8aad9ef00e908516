"""In which order a fetch reads lists: what kombu's queue cycles say one message at a time, for many at once.

BRPOP looks at all queues at priority 0, then at all at priority 3 and so on, and the queue that gave a message goes
behind the others. A fetch takes many messages: it reads level after level, and within a level either each list a share
or one list after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from kombu.utils.scheduling import priority_cycle

__all__ = ["Levels", "read_order"]


@dataclass(frozen=True)
class Levels:
    """Queues in order, and the runs of them that are read together: (priority, first queue, number of queues)."""

    queues: tuple[str, ...]
    runs: tuple[tuple[int, int, int], ...]
    #: Whether the lists of a level share the credit, or each is read to its end before the next.
    fair: bool


def read_order(cycle: Any, active: Sequence[str], priorities: Sequence[int], left_out: Collection[str] = ()) -> Levels:
    """The levels for what ``cycle`` gives now.

    A cycle may have a method ``classes()`` that returns lists of queue names: every priority of one class is read
    before the next class. Without it all queues are one class, as for BRPOP.

    Args:
        cycle: kombu's.
        active: the queues that are consumed.
        priorities: the steps of priority, the first one first.
        left_out: queues that are not read.
    """
    queues = [queue for queue in cycle.consume(len(active)) if queue not in left_out]
    classes = (
        [[queue for queue in names if queue in queues] for names in cycle.classes()] if _has_classes(cycle) else []
    )
    if sum(map(len, classes)) != len(queues):
        classes = [list(queues)]
    runs, first = [], 0
    for names in classes:
        if names:
            runs += [(priority, first, len(names)) for priority in priorities]
        first += len(names)
    ordered = tuple(queue for names in classes for queue in names)
    return Levels(ordered, tuple(runs), fair=not isinstance(cycle, priority_cycle))


def _has_classes(cycle: Any) -> bool:
    return callable(getattr(cycle, "classes", None))
