"""A call of ``fetch.lua``: the arguments it takes and the reply it gives, in the order that the script defines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any, Literal, NamedTuple

from worker.transport.admission import NO_CREDIT, Credit
from worker.transport.dead_letters import FUNCTIONS, DeadLetterBounds
from worker.transport.keys import Keys
from worker.transport.lease_mark import mark_of
from worker.transport.read_order import NO_READS, ReadPlan

__all__ = ["SHA", "SOURCE", "DeadLetter", "Fetch", "FetchLimits", "FetchReply", "Fetched", "Wake"]

SOURCE = FUNCTIONS + Path(__file__).with_name("fetch.lua").read_text(encoding="utf-8")
#: The name by which EVALSHA calls the script.
SHA = sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()

#: The place in the line of idle consumers of one whose lease has ended.
_LEASE_LOST = -2

#: Who is woken by a message: every idle consumer, the one that has waited longest, or nobody.
Wake = Literal["all", "one", "no"]


@dataclass(frozen=True)
class FetchLimits:
    """What is the same in all calls of a channel.

    Attributes:
        max_bytes: bytes of whole messages in one reply. A single message may be larger.
        record_s: how long the record of a fetch is kept.
        stale_s: how long a consumer counts as idle after its last fetch.
        dead_letters: how much is kept of what is malformed.
    """

    max_bytes: int
    record_s: float
    stale_s: float
    dead_letters: DeadLetterBounds


@dataclass(frozen=True)
class Fetch:
    """One call. Without queues it only acknowledges.

    Attributes:
        consumer_id: names the connection that fetches.
        token: names the fetch in the record of its connection.
        limits: what is the same in all calls.
        credit: how much may be fetched.
        acks: delivery tags to acknowledge.
        lease: the consumer's lease; empty where it has none.
        reads: the lists to read.
        unrecorded: queues that are consumed without acknowledgement.
        wake: who is woken once a list that was found empty is written to.
        is_recheck: whether this consumer was idle and nobody woke it.
    """

    consumer_id: str
    token: int
    limits: FetchLimits
    credit: Credit = NO_CREDIT
    acks: Sequence[str] = ()
    lease: str = ""
    reads: ReadPlan = NO_READS
    unrecorded: frozenset[str] = frozenset()
    wake: Wake = "no"
    is_recheck: bool = False

    @property
    def key_count(self) -> int:
        """How many of the arguments are keys."""
        return 5 + len(self.reads.lists)

    def arguments(self, keys: Keys) -> Iterator[str | float]:
        """Keys and arguments, as EVALSHA takes them after the number of keys."""
        limits, order = self.limits, self.reads.order
        yield from (keys.unacked_index, keys.unacked, keys.record(self.consumer_id), keys.idle(self.reads.idle_group))
        yield keys.lease(self.lease)
        yield from self.reads.lists
        yield from (self.lease, self.token, self.credit.messages, limits.max_bytes, self.credit.body_bytes)
        yield from (int(order.fair), self.wake)
        yield from (max(1, round(limits.record_s * 1000)), *limits.dead_letters.arguments)
        yield from (self.consumer_id, keys.bell_prefix, limits.stale_s, int(self.is_recheck))
        yield from (mark_of(self.lease), len(self.acks), len(order.queues), len(order.levels))
        yield from self.acks
        for queue in order.queues:
            yield queue
            yield int(queue not in self.unrecorded)
        for level in order.levels:
            yield level.first + 1
            yield level.size


class Fetched(NamedTuple):
    """A message that was taken from its queue."""

    queue: str
    tag: bytes
    raw: bytes


class DeadLetter(NamedTuple):
    """A malformed message that the script has moved to the dead letters."""

    queue: str
    size_bytes: int


@dataclass(frozen=True)
class FetchReply:
    """What one call found.

    Attributes:
        idle_position: place in the line of idle consumers. 0: woken by a write to the lists; more: by its bell;
            -1: not idle, or nothing was read; -2: the consumer's lease has ended, and nothing was done.
        messages: the messages that were taken.
        dead_letters: the malformed ones.
    """

    idle_position: int
    messages: list[Fetched]
    dead_letters: list[DeadLetter]

    @property
    def is_lease_lost(self) -> bool:
        """Whether nothing was done, because the consumer's lease has ended."""
        return self.idle_position == _LEASE_LOST

    @classmethod
    def parse(cls, reply: list[Any], fetch: Fetch) -> FetchReply:
        """Read the script's reply to ``fetch``."""
        queues = fetch.reads.order.queues
        end = 2 + 2 * reply[1]
        dead, found = reply[2:end], reply[end:]
        messages = zip(found[::3], found[1::3], found[2::3], strict=True)
        return cls(
            reply[0],
            [Fetched(queues[q - 1], tag, raw) for q, tag, raw in messages],
            [DeadLetter(queues[q - 1], size) for q, size in zip(dead[::2], dead[1::2], strict=True)],
        )
