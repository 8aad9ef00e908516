"""The order in which queues are read: interactive requests before bulk.

Kombu's ``priority`` order is that of a set and changes from run to run (celery/celery#8673). Its ``sorted`` order is
alphabetical.
"""

from __future__ import annotations

from collections.abc import Iterable

from producer.contract import is_bulk

__all__ = ["InteractiveFirst"]


class InteractiveFirst:
    """A kombu queue cycle (``queue_order_strategy``): interactive queues round-robin, then bulk queues round-robin."""

    def __init__(self, queues: Iterable[str] | None = None) -> None:
        self._interactive: list[str] = []
        self._bulk: list[str] = []
        self.update(queues or ())

    def update(self, queues: Iterable[str]) -> None:
        """Replace the queues."""
        names = list(queues)
        self._interactive = [name for name in names if not is_bulk(name)]
        self._bulk = [name for name in names if is_bulk(name)]

    def consume(self, n: int) -> list[str]:
        """The next ``n`` queues to read."""
        return [*self._interactive, *self._bulk][:n]

    def classes(self) -> list[list[str]]:
        """The interactive queues, then the bulk queues. A fetch empties the first class before it reads the second."""
        return [self._interactive, self._bulk]

    def rotate(self, last_used: str) -> str:
        """Move a queue that a message was read from behind the others of its class."""
        for names in (self._interactive, self._bulk):
            if last_used in names:
                names.append(names.pop(names.index(last_used)))
        return last_used
