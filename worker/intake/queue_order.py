"""The order in which queues are read: what somebody waits for before bulk.

kombu's own ``priority`` order is that of a set, which changes from run to run (celery/celery#8673), and its
``sorted`` order goes by the alphabet.
"""

from __future__ import annotations

from collections.abc import Iterable

from producer.contract import QueueClass, class_of_queue

__all__ = ["InteractiveFirst", "is_bulk"]


def is_bulk(queue: str | None) -> bool:
    """Whether what is in a queue may wait for interactive requests."""
    return class_of_queue(queue) is QueueClass.BULK


class InteractiveFirst:
    """A kombu queue cycle: all other queues in turn, then the bulk queues in turn (``queue_order_strategy``)."""

    def __init__(self, queues: Iterable[str] | None = None) -> None:
        self._first: list[str] = []
        self._bulk: list[str] = []
        self.update(queues or ())

    def update(self, queues: Iterable[str]) -> None:
        """Use ``queues`` from now on."""
        names = list(queues)
        self._first = [name for name in names if not is_bulk(name)]
        self._bulk = [name for name in names if is_bulk(name)]

    def consume(self, n: int) -> list[str]:
        """The first ``n`` queues to look at."""
        return [*self._first, *self._bulk][:n]

    def classes(self) -> list[list[str]]:
        """Interactive, then bulk: a fetch of many messages empties the first before it looks at the second."""
        return [self._first, self._bulk]

    def rotate(self, last_used: str) -> str:
        """Put a queue that gave a message behind the others of its class."""
        for names in (self._first, self._bulk):
            if last_used in names:
                names.append(names.pop(names.index(last_used)))
        return last_used
