"""The queue of requests that wait while every process is busy, and how batches are taken from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter

from worker.pool.limits import BatchLimits
from worker.pool.pending_request import PendingRequest, RequestState

__all__ = ["BatchQueue"]

#: A batch is chosen from the oldest requests: as many as fill this many batches.
_WINDOW_BATCHES = 8


#: A request with its sequence number; requeued requests have negative ones.
_Entry = tuple[int, PendingRequest]
_number = itemgetter(0)


@dataclass
class _RequestClass:
    """The waiting requests of one class, interactive or bulk, by key and in order of arrival."""

    by_key: dict[Hashable, deque[_Entry]] = field(default_factory=dict)
    length: int = 0
    cost: int = 0

    def __iter__(self) -> Iterator[PendingRequest]:
        return (request for entries in self.by_key.values() for _, request in entries)

    def oldest_key(self) -> Hashable:
        """The key of the request that came first."""
        return min(self.by_key, key=lambda key: self.by_key[key][0][0])

    def append(self, entry: _Entry) -> None:
        """Add a request at the end."""
        self._add(entry[1]).append(entry)

    def prepend(self, entry: _Entry) -> None:
        """Add a request at the front."""
        self._add(entry[1]).appendleft(entry)

    def discount(self, request: PendingRequest) -> None:
        """Stop counting a request that has left."""
        self.length -= 1
        self.cost -= request.cost

    def clear(self) -> None:
        """Remove all requests."""
        self.by_key.clear()
        self.length = self.cost = 0

    def _add(self, request: PendingRequest) -> deque[_Entry]:
        self.length += 1
        self.cost += request.cost
        # Requests of other than batch tasks share the key None, and each runs alone.
        return self.by_key.setdefault(request.key, deque())


class BatchQueue:
    """Waiting requests, interactive before bulk, oldest first. A batch has equal keys and similar costs.

    Args:
        limits: of a batch.
        cost_in: the cost that a process is expected to compute in so many seconds, by key; None if unknown.
    """

    def __init__(self, limits: BatchLimits, cost_in: Callable[[Hashable, float], int | None] = lambda *_: None) -> None:
        self._limits = limits
        self._cost_in = cost_in
        self._interactive = _RequestClass()
        self._bulk = _RequestClass()
        self._last_number = 0
        self._first_number = 0

    def __len__(self) -> int:
        return self._interactive.length + self._bulk.length

    def add(self, request: PendingRequest) -> None:
        """Add a request at the end."""
        self._last_number += 1
        self._class_of(request).append((self._last_number, request))

    def requeue(self, request: PendingRequest) -> None:
        """Add a request that was in a batch at the front."""
        request.mark_waiting()
        self._first_number -= 1
        self._class_of(request).prepend((self._first_number, request))

    def drain(self) -> list[PendingRequest]:
        """Remove all requests without ending them: the broker delivers them again, except those it has forgotten.

        Celery announces the forgotten ones that are revoked or expired.

        Returns:
            The other forgotten ones, whose messages are acknowledged: only this worker can run or end them.
        """
        requests = [*self._interactive, *self._bulk]
        kept = [request for request in requests if request.is_acknowledged and not request.drop_if_cancelled()]
        for request in requests:
            request.state = RequestState.GONE
        self._interactive.clear()
        self._bulk.clear()
        return kept

    def fills(self, batches: int) -> bool:
        """Whether the requests of the class that is next fill so many batches."""
        waiting = self._next_class()
        return waiting.length >= batches * self._limits.requests or waiting.cost >= batches * self._limits.cost

    def take_batch(self, processes: int) -> list[PendingRequest]:
        """Remove the requests of the next batch.

        The batch has the oldest request, and of the next ones those whose costs are nearest to its own, because
        sequences of equal length are computed together. If less than a batch per process is left, ``processes``
        share it evenly. Requests that are cancelled are dropped.

        Returns:
            At least one request, oldest first; empty if none is left.
        """
        while len(self):
            waiting = self._next_class()
            key = waiting.oldest_key()
            requests = self._take(waiting, key, processes)
            if not waiting.by_key[key]:
                del waiting.by_key[key]
            if requests:
                return requests
        return []

    def _take(self, waiting: _RequestClass, key: Hashable, processes: int) -> list[PendingRequest]:
        entries = waiting.by_key[key]
        while entries and entries[0][1].drop_if_cancelled():
            waiting.discount(entries.popleft()[1])
        if not entries:
            return []
        share = min(-(-len(entries) // processes), self._limits.requests)
        taken = [entries.popleft()]
        first = taken[0][1]
        if share > 1 and not first.runs_alone:
            cost_left = self._max_cost(waiting, key) - first.cost
            taken += self._take_similar(waiting, entries, first.cost, share - 1, cost_left)
        waiting.discount(first)
        for _, request in taken:
            request.state = RequestState.IN_BATCH
        return [request for _, request in sorted(taken, key=_number)]

    def _take_similar(
        self, waiting: _RequestClass, entries: deque[_Entry], cost: int, max_requests: int, cost_left: int
    ) -> list[_Entry]:
        """Take the requests whose costs are nearest to ``cost``, within two limits."""
        window = [entries.popleft() for _ in range(min(len(entries), _WINDOW_BATCHES * self._limits.requests))]
        taken: list[_Entry] = []
        left: list[_Entry] = []
        for entry in sorted(window, key=lambda entry: (abs(entry[1].cost - cost), entry[0])):
            request = entry[1]
            if len(taken) == max_requests or request.cost > cost_left or request.runs_alone:
                left.append(entry)
                continue
            waiting.discount(request)
            if not request.drop_if_cancelled():
                taken.append(entry)
                cost_left -= request.cost
        entries.extendleft(sorted(left, key=_number, reverse=True))
        return taken

    def _max_cost(self, waiting: _RequestClass, key: Hashable) -> int:
        cost_in_time = self._cost_in(key, self._limits.bulk_s)
        return self._limits.cost_within(cost_in_time, is_bulk=waiting is self._bulk)

    def _next_class(self) -> _RequestClass:
        return self._interactive if self._interactive.by_key else self._bulk

    def _class_of(self, request: PendingRequest) -> _RequestClass:
        return self._bulk if request.is_bulk else self._interactive
