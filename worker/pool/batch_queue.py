"""The line of requests that wait while every process is busy, and how batches are cut from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

from worker.pool.limits import BatchLimits
from worker.pool.pending_request import Member, Place

__all__ = ["Line"]

#: A batch is chosen from the oldest members: as many as fill so many batches.
_WINDOW_BATCHES = 8


#: A member with the number of its arrival.
_Entry = tuple[int, Member]


@dataclass
class _Class:
    """The waiting members of one class, by key and in order of arrival."""

    by_key: dict[Hashable, deque[_Entry]] = field(default_factory=dict)
    length: int = 0
    cost: int = 0

    def __iter__(self) -> Iterator[Member]:
        return (member for queue in self.by_key.values() for _, member in queue)

    def oldest(self) -> Hashable:
        """The key whose first member came first."""
        return min(self.by_key, key=lambda key: self.by_key[key][0][0])

    def count(self, member: Member, sign: int) -> None:
        """A member has come, or goes."""
        self.length += sign
        self.cost += sign * member.cost

    def clear(self) -> None:
        """Forget all."""
        self.by_key.clear()
        self.length = self.cost = 0


class Line:
    """Waiting members: interactive before bulk, the oldest first, and with it those of equal key and similar cost.

    Args:
        limits: of a batch.
        cost_in: the cost that a process is expected to do in so many seconds, by key.
    """

    def __init__(self, limits: BatchLimits, cost_in: Callable[[Hashable, float], int] = lambda *_: 0) -> None:
        self._limits = limits
        self._cost_in = cost_in
        self._interactive = _Class()
        self._bulk = _Class()
        self._arrivals = 0
        self._returns = 0

    def __len__(self) -> int:
        return self._interactive.length + self._bulk.length

    def add(self, member: Member) -> None:
        """Put a member last."""
        self._arrivals += 1
        self._queue(member).append((self._arrivals, member))

    def put_back(self, member: Member) -> None:
        """Put a member that was in a batch first."""
        member.wait_again()
        self._returns -= 1
        self._queue(member).appendleft((self._returns, member))

    def clear(self) -> list[Member]:
        """Forget all members without a word to anybody: the broker gives them again.

        Returns:
            Those that it does not, since their messages are acknowledged.
        """
        members = [member for waiting in (self._interactive, self._bulk) for member in waiting]
        kept = [member for member in members if member.is_acknowledged and not member.is_out()]
        for member in members:
            member.place = Place.GONE
        self._interactive.clear()
        self._bulk.clear()
        return kept

    def fills(self, batches: int) -> bool:
        """Whether what waits is enough for so many full batches, of the class that is next."""
        waiting = self._next_class()
        return waiting.length >= batches * self._limits.requests or waiting.cost >= batches * self._limits.cost

    def cut(self, processes: int) -> list[Member]:
        """Take the members of the next batch; the last ones are shared evenly by ``processes``.

        The oldest member is among them, and those of the next ones whose cost is nearest to its own: sequences of
        equal length are computed together.

        Returns:
            At least one member if any waits and has not been revoked meanwhile, the oldest first.
        """
        while len(self):
            waiting = self._next_class()
            key = waiting.oldest()
            members = self._take(waiting, key, processes)
            if not waiting.by_key[key]:
                del waiting.by_key[key]
            if members:
                return members
        return []

    def _take(self, waiting: _Class, key: Hashable, processes: int) -> list[Member]:
        queue = waiting.by_key[key]
        while queue and queue[0][1].is_out():
            waiting.count(queue.popleft()[1], -1)
        if not queue:
            return []
        share = min(-(-len(queue) // processes), self._limits.requests)
        taken = [queue.popleft()]
        first = taken[0][1]
        if share > 1 and not first.alone:
            room = self._most_cost(waiting, key) - first.cost
            taken += self._take_similar(waiting, queue, first.cost, share - 1, room)
        waiting.count(first, -1)
        for _, member in taken:
            member.place = Place.IN_BATCH
        return [member for _, member in sorted(taken, key=_arrival)]

    def _take_similar(self, waiting: _Class, queue: deque[_Entry], cost: int, most: int, room: int) -> list[_Entry]:
        """Take those whose cost is nearest to ``cost``, up to ``most`` members and ``room`` in all."""
        window = [queue.popleft() for _ in range(min(len(queue), _WINDOW_BATCHES * self._limits.requests))]
        taken: list[_Entry] = []
        left: list[_Entry] = []
        for entry in sorted(window, key=lambda entry: (abs(entry[1].cost - cost), entry[0])):
            member = entry[1]
            if len(taken) == most or member.cost > room or member.alone:
                left.append(entry)
                continue
            waiting.count(member, -1)
            if not member.is_out():
                taken.append(entry)
                room -= member.cost
        queue.extendleft(sorted(left, key=_arrival, reverse=True))
        return taken

    def _most_cost(self, waiting: _Class, key: Hashable) -> int:
        if waiting is self._interactive:
            return self._limits.cost
        return max(self._limits.cost, self._cost_in(key, self._limits.bulk_s))

    def _next_class(self) -> _Class:
        return self._interactive if self._interactive.by_key else self._bulk

    def _queue(self, member: Member) -> deque[_Entry]:
        waiting = self._bulk if member.is_bulk else self._interactive
        waiting.count(member, 1)
        # Tasks without a batch form: each is its own batch, in its place among the others.
        return waiting.by_key.setdefault(member.key, deque())


def _arrival(entry: _Entry) -> int:
    return entry[0]
