"""What was sent, and what became of it: one row for each id, small enough for a million."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.chaos.messages import End, MessageKind, Planned, PoisonKind

__all__ = ["Ledger"]

_ENDS: tuple[End | None, ...] = (None, *End)


@dataclass
class Ledger:
    """The rows, by number; written by the sender's thread and the observer's, read by all.

    Args:
        size: how many ids there are.

    Attributes:
        sent_s: when a message was sent, on the monotonic clock; 0 before.
        due_s: when it can be answered at the earliest; a chord's body is due as soon as its chord is sent.
        ended_s: when its final result was seen; 0 before.
        pending: numbers that are sent and not ended. Poison and a chord's body are among them.
        poison: the kind of each number that is poison.
        ended_again: numbers with more than one final result, with what came later.
        wrong: numbers whose answer or end is not the one that it should be, with what was found.
    """

    size: int
    sent_s: array[float] = field(init=False)
    due_s: array[float] = field(init=False)
    ended_s: array[float] = field(init=False)
    pending: set[int] = field(default_factory=set)
    poison: dict[int, PoisonKind] = field(default_factory=dict)
    ended_again: dict[int, str] = field(default_factory=dict)
    wrong: dict[int, str] = field(default_factory=dict)
    sent: int = 0

    def __post_init__(self) -> None:
        zeros = array("d", bytes(8 * self.size))
        self.sent_s, self.due_s, self.ended_s = zeros, zeros[:], zeros[:]
        self._kinds = bytearray(self.size)
        self._ends = bytearray(self.size)
        self._failures: dict[int, str] = {}
        self._last_end_s = time.monotonic()

    def send(self, planned: Planned) -> None:
        """Note that a message is about to be sent."""
        now_s = time.monotonic()
        for number in planned.numbers:
            is_member = planned.kind is MessageKind.CHORD_BODY and number != planned.number
            self._kinds[number] = MessageKind.CHORD_MEMBER if is_member else planned.kind
            self.sent_s[number] = now_s
            self.due_s[number] = now_s + planned.extra_s
            self.pending.add(number)
        self.sent += len(planned.numbers)
        if planned.poison is not None:
            self.poison[planned.number] = planned.poison

    def end(self, number: int, how: End, what: str = "") -> None:
        """Note a final result.

        Args:
            number: its number.
            how: how it ended.
            what: the error of a failure.
        """
        if not 0 <= number < self.size:
            return
        if self._ends[number]:
            self.ended_again[number] = f"{how.value} {what}".strip()
            return
        self._ends[number] = _ENDS.index(how)
        self.ended_s[number] = self._last_end_s = time.monotonic()
        if how is End.FAILURE:
            self._failures[number] = what
        self.pending.discard(number)

    def end_of(self, number: int) -> End | None:
        """How a message has ended; None while it has not."""
        return _ENDS[self._ends[number]]

    def kind_of(self, number: int) -> MessageKind:
        """What a message that was sent asks for."""
        return MessageKind(self._kinds[number])

    def failure_of(self, number: int) -> str:
        """The error with which it has failed; empty if it has not."""
        return self._failures.get(number, "")

    @property
    def failed(self) -> Iterator[int]:
        """Numbers that have failed and are no poison."""
        return (number for number in sorted(self._failures) if number not in self.poison)

    @property
    def ended(self) -> int:
        """How many have ended."""
        return self.sent - len(self.pending)

    @property
    def quiet_s(self) -> float:
        """How long nothing has ended."""
        return time.monotonic() - self._last_end_s
