"""The dead letters: messages that no worker can use, kept in one place and one form until a person decides.

``dead_letters.lua`` says how they are stored. Imports no kombu, so that commands start at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import redis

from worker.transport.keys import Keys

__all__ = [
    "NO_DEAD_LETTERS",
    "UNBOUNDED",
    "Attempt",
    "DeadLetterBounds",
    "DeadLetterTotals",
    "DeadLetters",
    "DeadReason",
    "DropReason",
    "Epitaph",
    "Letter",
]

_HERE = Path(__file__)
#: The functions that the fetch script uses too.
FUNCTIONS = _HERE.with_name("dead_letters.lua").read_text(encoding="utf-8")
_SOURCE = FUNCTIONS + _HERE.with_name("dead_letter_calls.lua").read_text(encoding="utf-8")
_PAGE = 200
_MS_PER_S = 1000


class DeadReason(StrEnum):
    """Why no worker could use a message."""

    #: It is no message of kombu, or no task message of Celery.
    MALFORMED = "malformed"
    #: Its body cannot be decoded.
    UNDECODABLE = "undecodable"
    #: Its body has a content type that workers do not read.
    WRONG_CONTENT_TYPE = "wrong_content_type"
    #: No worker runs its task.
    UNKNOWN_TASK = "unknown_task"
    #: It was tried as often as a message may be, and never finished.
    TOO_MANY_ATTEMPTS = "too_many_attempts"


class DropReason(StrEnum):
    """Why a letter, or the envelope of one, is not kept."""

    #: There were more letters than are kept.
    NUMBER = "number"
    #: All letters together had more bytes than are kept.
    BYTES = "bytes"
    #: It was older than letters are kept.
    AGE = "age"
    #: The envelope alone has more bytes than are kept of all letters: only the envelope is dropped.
    CONTENT = "content"


@dataclass(frozen=True)
class Attempt:
    """One delivery of a message to a worker.

    Attributes:
        at_s: when it was delivered, by the server's clock, in seconds since 1970.
        worker: the worker that got it.
    """

    at_s: float
    worker: str


@dataclass(frozen=True)
class DeadLetterBounds:
    """How much is kept. The oldest letters make room for new ones.

    Attributes:
        letters: number of letters.
        bytes: of all letters together.
        age_s: seconds that a letter is kept.
        content: whether envelopes are kept. Without its envelope a letter cannot be replayed.
    """

    letters: int
    bytes: int
    age_s: int
    content: bool

    @cached_property
    def arguments(self) -> tuple[str, int]:
        """The bounds as the scripts read them, and whether envelopes are kept."""
        return json.dumps({"letters": self.letters, "bytes": self.bytes, "age_s": self.age_s}), int(self.content)


#: For who only reads, replays and drops: looking at letters then removes none.
UNBOUNDED = DeadLetterBounds(letters=2**53, bytes=2**53, age_s=10**11, content=True)


@dataclass(frozen=True)
class DeadLetterTotals:
    """How many letters there are.

    Attributes:
        kept: letters that are there, by reason.
        bytes: bytes of these letters.
        oldest_s: age of the oldest one; None if there is none.
        buried: letters since the counts began, by reason. Redis forgets the counts with the last letter.
        dropped: letters that were not kept, by why, since then.
    """

    kept: dict[str, int]
    bytes: int
    oldest_s: float | None
    buried: dict[str, int]
    dropped: dict[str, int]


NO_DEAD_LETTERS = DeadLetterTotals({}, 0, None, {}, {})


@dataclass(frozen=True)
class Letter:
    """A dead letter, without its envelope.

    Attributes:
        letter_id: names it among the dead letters.
        at_s: when it was buried, by the server's clock, in seconds since 1970.
        reason: why; a :class:`DeadReason`, or what a newer version has written.
        problem: the same for people. It quotes nothing of the content.
        queue: the queue that it came from; empty if that is not known.
        task: name of its task; empty if that is not known.
        task_id: id of its task; empty if that is not known.
        error: the error that its sender got, or that ended the last attempt; empty if there is none.
        attempts: when it was delivered to whom, as far as that was counted.
        size_bytes: size of its envelope.
        list_key: the key of the list that it came from; empty if that is not known.
        has_envelope: whether the envelope is kept.
    """

    letter_id: str
    at_s: float
    reason: str
    problem: str
    queue: str
    task: str
    task_id: str
    error: str
    attempts: tuple[Attempt, ...]
    size_bytes: int
    list_key: str
    has_envelope: bool

    @property
    def can_be_replayed(self) -> bool:
        """Whether it can go back: its list is known, and its envelope is kept."""
        return self.has_envelope and bool(self.list_key)

    @classmethod
    def parse(cls, letter_id: bytes, fields: Sequence[bytes], *, has_envelope: bool) -> Self:
        """Read an entry of the stream; unknown fields are ignored, and missing ones are empty."""
        texts = [field.decode(errors="backslashreplace") for field in fields]
        found = dict(zip(texts[::2], texts[1::2], strict=True))
        name = letter_id.decode()
        return cls(
            letter_id=name,
            at_s=int(name.partition("-")[0]) / _MS_PER_S,
            reason=found.get("reason", ""),
            problem=found.get("problem", ""),
            queue=found.get("queue", ""),
            task=found.get("task", ""),
            task_id=found.get("id", ""),
            error=found.get("error", ""),
            attempts=tuple(Attempt(one["at_s"], one["worker"]) for one in json.loads(found.get("attempts", "[]"))),
            size_bytes=int(found.get("size", "0")),
            list_key=found.get("list", ""),
            has_envelope=has_envelope,
        )


@dataclass(frozen=True)
class Epitaph:
    """What is written about a message that is buried; the attributes are those of :class:`Letter`."""

    reason: DeadReason
    problem: str
    queue: str = ""
    list_key: str = ""
    task: str = ""
    task_id: str = ""
    error: str = ""
    attempts: Sequence[Attempt] = ()

    @property
    def subject(self) -> dict[str, str]:
        """What a log line about the message is marked with, as far as it is known: ``task`` and ``task_id``."""
        known = {"task": self.task, "task_id": self.task_id}
        return {name: value for name, value in known.items() if value}

    def fields(self) -> Iterator[bytes]:
        """Names and values in turn; what is not known is left out. Half characters are escaped."""
        attempts = json.dumps([asdict(attempt) for attempt in self.attempts]) if self.attempts else ""
        named = (
            ("reason", self.reason.value),
            ("problem", self.problem),
            ("queue", self.queue),
            ("list", self.list_key),
            ("task", self.task),
            ("id", self.task_id),
            ("error", self.error),
            ("attempts", attempts),
        )
        for name, value in named:
            if value:
                yield from (name.encode(), value.encode(errors="backslashreplace"))


class DeadLetters:
    """The dead letters of one broker.

    Every method raises ``redis.exceptions.RedisError`` if the server does not answer or refuses.

    Args:
        client: a client that adds no prefix to keys and decodes nothing.
        keys: the keys of the transport.
        bounds: how much is kept.
    """

    def __init__(self, client: redis.Redis, keys: Keys, bounds: DeadLetterBounds) -> None:
        self._client = client
        self._keys = (keys.unacked, keys.unacked_index)
        self._stream = keys.dead_letters
        self._bounds = bounds.arguments
        self._script = client.register_script(_SOURCE)

    def bury(self, tag: str | bytes, envelope: bytes, epitaph: Epitaph, *, must_be_recorded: bool = True) -> bool:
        """Keep a message, and remove its record of an unacknowledged message in the same step.

        Args:
            tag: its delivery tag.
            envelope: the message as it came from its queue.
            epitaph: what is known about it.
            must_be_recorded: whether nothing is done if there is no such record (any more).

        Returns:
            Whether it was buried.
        """
        return bool(self._call("bury", tag, int(must_be_recorded), envelope, *epitaph.fields()))

    def totals(self) -> DeadLetterTotals:
        """Count the letters. Letters beyond the bounds are dropped first."""
        counts, oldest, now_s = self._call("totals")
        numbers = {name.decode(): int(number) for name, number in zip(counts[::2], counts[1::2], strict=True)}
        groups: dict[str, dict[str, int]] = {"kept": {}, "buried": {}, "dropped": {}}
        for name, number in numbers.items():
            group, _, label = name.partition(":")
            if label:
                groups[group][label] = number
        age_s = None if oldest is None else max(0.0, int(now_s) - _at_s(oldest))
        return DeadLetterTotals(**groups, bytes=numbers.get("bytes", 0), oldest_s=age_s)

    def now_s(self) -> float:
        """The server's clock, in seconds since 1970."""
        seconds, microseconds = self._client.time()
        return float(seconds) + float(microseconds) / 1e6

    def newest_first(self) -> Iterator[Letter]:
        """All letters that there are now. Those that are buried meanwhile are left out."""
        below = "+"
        while True:
            page = self._call("page", below, _PAGE)
            for letter_id, fields, has_envelope in page:
                yield Letter.parse(letter_id, fields, has_envelope=has_envelope == b"1")
            if len(page) < _PAGE:
                return
            below = f"({page[-1][0].decode()}"

    def envelope(self, letter_id: str) -> bytes | None:
        """The envelope of a letter, byte for byte; None if the letter is gone or its envelope is not kept."""
        found: Any = self._client.xrange(self._stream, letter_id, letter_id)
        return found[0][1].get(b"envelope") if found else None

    def replay(self, letter_id: str, envelope: bytes) -> bool:
        """Put an envelope on the list of a letter and remove the letter, in one step.

        Returns:
            Whether the letter was still there; if not, nothing is done.
        """
        return bool(self._call("remove", letter_id, envelope))

    def drop(self, letter_id: str) -> bool:
        """Remove a letter.

        Returns:
            Whether it was still there.
        """
        return bool(self._call("remove", letter_id))

    def _call(self, name: str, *arguments: str | bytes | int) -> Any:
        return self._script(keys=self._keys, args=(*self._bounds, name, *arguments))


def _at_s(letter_id: bytes) -> float:
    return int(letter_id.partition(b"-")[0]) / _MS_PER_S
