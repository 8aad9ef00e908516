"""The call of ``fetch.lua``: keys and arguments in, what it found out. Their order is written in the script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any

from worker.transport.queue_levels import Levels

__all__ = ["SHA", "SOURCE", "UNLIMITED", "Fetch", "FetchReply", "Names"]

#: Messages or bytes.
UNLIMITED = 1 << 30

SOURCE = Path(__file__).with_name("fetch.lua").read_text(encoding="utf-8")
#: By which EVALSHA names the script.
SHA = sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Names:
    """Keys as the server has them, the global prefix before them."""

    index: str
    unacked: str
    prefix: str

    def record(self, consumer: str) -> str:
        """What the last fetch of a connection recorded."""
        return f"{self.unacked}.fetched.{consumer}"

    def idle(self, lists: str) -> str:
        """The idle consumers of the same lists."""
        return f"{self.unacked}.idle.{lists}"

    @property
    def bell(self) -> str:
        """Before a consumer's id: the key that is written to wake it."""
        return f"{self.unacked}.bell."

    def dead(self, queue: str) -> str:
        """Where the malformed messages of a queue go."""
        return f"{self.prefix}{queue}.dead"


@dataclass
class Fetch:
    """One call; without levels it only acknowledges."""

    consumer: str
    token: int
    now_s: float
    credit: int = 0
    #: Of whole messages, in one reply; a single message may be larger.
    max_bytes: int = 0
    #: Of decoded bodies; the message that fills it is the last one.
    room_bytes: int = UNLIMITED
    acks: Sequence[str] = ()
    levels: Levels = field(default=Levels((), (), fair=False))
    lists: Sequence[str] = ()
    unrecorded: frozenset[str] = frozenset()
    idle_group: str = ""
    wake: str = "no"
    rechecks: bool = False
    stale_s: float = 20.0
    record_s: float = 3600.0
    dead_length: int = 1000
    dead_s: int = 604800

    def arguments(self, names: Names) -> Iterator[Any]:
        """Number of keys, keys and arguments, as EVALSHA takes them after the script."""
        queues, runs = self.levels.queues, self.levels.runs
        yield 4 + len(self.lists)
        yield from (names.index, names.unacked, names.record(self.consumer), names.idle(self.idle_group))
        yield from self.lists
        yield from (self.now_s, self.token, self.credit, self.max_bytes, self.room_bytes)
        yield from (int(self.levels.fair), self.wake)
        yield from (max(1, round(self.record_s * 1000)), self.dead_length, self.dead_s)
        yield from (self.consumer, names.bell, self.stale_s, int(self.rechecks))
        yield from (len(self.acks), len(queues), len(runs))
        yield from self.acks
        for queue in queues:
            yield names.dead(queue)
            yield int(queue not in self.unrecorded)
        for _, first, count in runs:
            yield first + 1
            yield count


@dataclass(frozen=True)
class FetchReply:
    """What one call found."""

    #: 0: woken by a write to the lists, more: by its bell, -1: not idle, or nothing was looked at.
    place: int
    #: Queue and size in bytes of each message that was set aside.
    dead: list[tuple[str, int]]
    #: Queue, delivery tag and bytes of each message.
    found: list[tuple[str, bytes, bytes]]

    @classmethod
    def parse(cls, reply: list[Any], fetch: Fetch) -> FetchReply:
        """Read the script's answer to ``fetch``."""
        queues = fetch.levels.queues
        end = 2 + 2 * reply[1]
        dead = [(queues[q - 1], size) for q, size in zip(reply[2:end:2], reply[3:end:2], strict=True)]
        rest = reply[end:]
        found = [(queues[q - 1], tag, raw) for q, tag, raw in zip(rest[::3], rest[1::3], rest[2::3], strict=True)]
        return cls(reply[0], dead, found)
