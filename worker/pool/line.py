"""The line of requests that wait while every process is busy, and how batches are cut from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from worker.pool.member import Member, Place

__all__ = ["BatchLimits", "Line"]


@dataclass(frozen=True)
class BatchLimits:
    """How large a batch may get.

    Attributes:
        requests: most requests.
        cost: most cost in all; a single request that costs more goes alone.
    """

    requests: int = 64
    cost: int = 2048


@dataclass
class _Class:
    """The waiting members of one class, by key and in order of arrival."""

    by_key: dict[Hashable, deque[tuple[int, Member]]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Member]:
        return (member for queue in self.by_key.values() for _, member in queue)

    def oldest(self) -> Hashable:
        """The key whose first member came first."""
        return min(self.by_key, key=lambda key: self.by_key[key][0][0])


class Line:
    """Waiting members: interactive before bulk, the oldest first, and with it those of equal key.

    Args:
        limits: of a batch.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._interactive = _Class()
        self._bulk = _Class()
        self._arrivals = 0
        self._returns = 0
        self._length = 0
        self._cost = 0

    def __len__(self) -> int:
        return self._length

    def add(self, member: Member) -> None:
        """Put a member last."""
        self._arrivals += 1
        self._queue(member).append((self._arrivals, member))
        self._count(member, 1)

    def put_back(self, member: Member) -> None:
        """Put a member that was in a batch first."""
        member.wait_again()
        self._returns -= 1
        self._queue(member).appendleft((self._returns, member))
        self._count(member, 1)

    def clear(self) -> list[Member]:
        """Forget all members without a word to anybody: the broker gives them again.

        Returns:
            Those that it does not, since their messages are acknowledged.
        """
        members = [member for waiting in (self._interactive, self._bulk) for member in waiting]
        kept = [member for member in members if member.is_acknowledged and not member.is_out()]
        for member in members:
            member.place = Place.GONE
        for waiting in (self._interactive, self._bulk):
            waiting.by_key.clear()
        self._length = self._cost = 0
        return kept

    def fills(self, batches: int) -> bool:
        """Whether what waits is enough for so many full batches."""
        return self._length >= batches * self._limits.requests or self._cost >= batches * self._limits.cost

    def cut(self, processes: int) -> list[Member]:
        """Take the members of the next batch; the last ones are shared evenly by ``processes``.

        Returns:
            At least one member if any waits and has not been revoked meanwhile.
        """
        while self._length:
            waiting = self._interactive if self._interactive.by_key else self._bulk
            key = waiting.oldest()
            queue = waiting.by_key[key]
            members = self._take(queue, -(-len(queue) // processes))
            if not queue:
                del waiting.by_key[key]
            if members:
                return members
        return []

    def _take(self, queue: deque[tuple[int, Member]], share: int) -> list[Member]:
        members: list[Member] = []
        cost = 0
        while queue and len(members) < min(share, self._limits.requests):
            _, member = queue[0]
            if members and (member.alone or members[0].alone or cost + member.cost > self._limits.cost):
                break
            queue.popleft()
            self._count(member, -1)
            if member.is_out():
                continue
            member.place = Place.IN_BATCH
            members.append(member)
            cost += member.cost
        return members

    def _queue(self, member: Member) -> deque[tuple[int, Member]]:
        waiting = self._bulk if member.is_bulk else self._interactive
        # Tasks without a batch form: each is its own batch, in its place among the others.
        return waiting.by_key.setdefault(member.key, deque())

    def _count(self, member: Member, sign: int) -> None:
        self._length += sign
        self._cost += sign * member.cost
