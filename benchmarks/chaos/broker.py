"""What is left in Redis: messages, dead letters, and keys that never expire."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from benchmarks.chaos.journal import numbers_in

__all__ = ["Leftovers", "documented_keys", "find_leaked_keys", "is_empty", "read_dead_letters", "read_leftovers"]

_REDIS_KEYS = Path(__file__).resolve().parents[2] / "docs" / "redis-keys.md"
_QUEUES = ("celery", "text-classification")
_UNACKED = "unacked"


@dataclass(frozen=True)
class Leftovers:
    """Messages that are neither acknowledged nor dead letters.

    Attributes:
        queued: numbers of those in a queue, with its name.
        unacked: numbers of those that were fetched, with the time of that, in seconds since 1970.
        other: how many further messages there are.
    """

    queued: dict[int, str]
    unacked: dict[int, float]
    other: int

    def __bool__(self) -> bool:
        return bool(self.queued or self.unacked or self.other)

    def describe(self, number: int) -> str:
        """Where a message is; empty if it is nowhere."""
        if number in self.unacked:
            return f"fetched and not acknowledged since {self.unacked[number]:.3f} s (Unix time)"
        return f"in the queue {self.queued[number]}" if number in self.queued else ""


def is_empty(server: redis.Redis) -> bool:
    """Whether no message is queued or unacknowledged."""
    lists = [key for queue in _QUEUES for key in _lists_of(queue)]
    return not server.exists(*lists, _UNACKED, f"{_UNACKED}_index")


def _lists_of(queue: str) -> Iterator[str]:
    for name in (queue, f"{queue}.bulk"):
        yield name
        yield from (f"{name}\x06\x16{step}" for step in (3, 6, 9))


def read_leftovers(server: redis.Redis) -> Leftovers:
    """Read all messages that are left."""
    queued, unacked, other = {}, {}, 0
    for queue in _QUEUES:
        for key in _lists_of(queue):
            raws: Any = server.lrange(key, 0, -1)
            for raw in raws:
                numbers = numbers_in(raw)
                queued.update(dict.fromkeys(numbers, key))
                other += not numbers
    records: Any = server.hgetall(_UNACKED)
    for tag, raw in records.items():
        numbers, score = numbers_in(raw), server.zscore(f"{_UNACKED}_index", tag)
        unacked.update(dict.fromkeys(numbers, float(score or 0)))
        other += not numbers
    return Leftovers(queued, unacked, other)


def read_dead_letters(server: redis.Redis) -> Iterator[bytes]:
    """Whatever is kept under keys of dead letters."""
    for key in list(server.scan_iter(match="*dead*", count=1000)):
        match server.type(key):
            case b"list":
                values: Any = server.lrange(key, 0, -1)
            case b"hash":
                values = server.hvals(key)
            case b"zset":
                values = server.zrange(key, 0, -1)
            case b"stream":
                values = [value for _, fields in server.xrange(key) for value in fields.values()]  # type: ignore[union-attr]
            case _:
                values = []
        yield from values


def documented_keys() -> list[re.Pattern[str]]:
    """Patterns of the keys that may stay without a time to live, from ``docs/redis-keys.md``."""
    patterns = []
    for line in _REDIS_KEYS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[2].startswith("no"):  # noqa: PLR2004 - the columns of the table
            patterns += [_pattern(name) for name in re.findall(r"`([^`]+)`", cells[0])]
    return patterns


def _pattern(name: str) -> re.Pattern[str]:
    parts = [re.escape(part) for part in re.split(r"<[^>]*>|\*", name)]
    # kombu has a list for each priority of a queue.
    return re.compile(".+".join(parts) + "(\x06\x16\\d)?")


def find_leaked_keys(server: redis.Redis) -> list[str]:
    """Keys that never expire and that the documentation does not list."""
    patterns = documented_keys()
    leaked = []
    for some in _in_parts(server.scan_iter(count=1000), 1000):
        with server.pipeline(transaction=False) as pipe:
            for key in some:
                pipe.ttl(key)
            lasting = [key.decode(errors="replace") for key, ttl in zip(some, pipe.execute(), strict=True) if ttl == -1]
        leaked += [key for key in lasting if not any(pattern.fullmatch(key) for pattern in patterns)]
    return sorted(leaked)


def _in_parts(keys: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    some: list[bytes] = []
    for key in keys:
        some.append(key)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
