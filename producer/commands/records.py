"""What a command reads: requests that may be invalid, in their order; and their outcomes in the same order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from producer.chunks import Outcome
from producer.contract import Request
from producer.errors import RequestError
from producer.message_log import LoggedMessage, MessageLog

__all__ = ["InOrder", "Record", "RecordLog"]

#: After so many invalid records in a row, what was sent is waited for: invalid ones wait in memory for their turn.
_MAX_REFUSED_IN_A_ROW = 1000


class RecordLog(Protocol):
    """A log that knows messages by the numbers of their records."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """See :attr:`producer.message_log.MessageLog.sizes`."""

    def enter(self, first: int, last: int, count: int, attempt: int) -> LoggedMessage:
        """A message is about to be sent, with so many requests of the records from the first to the last."""

    def sent(self, request_id: str) -> None:
        """The broker has it."""


@dataclass(frozen=True)
class Record:
    """One line of the input.

    Attributes:
        number: its place in the input, from 0.
        request: what to send, or why it cannot be sent.
        key: what its caller knows it by; it stands with its answer. None if there is none.
        text: what a person recognizes it by.
    """

    number: int
    request: Request | RequestError
    key: Any = None
    text: str = ""


class InOrder:
    """Records on their way through ``map``: what cannot be sent gets its error, in its place among the answers.

    Args:
        records: the input.
        log: what the messages are entered in; None if they are not.
    """

    def __init__(self, records: Iterator[Record], log: RecordLog | None = None) -> None:
        self._records, self._log = records, log
        self._sizes = () if log is None else log.sizes
        #: Read, and without an outcome so far.
        self._waiting: deque[Record] = deque()
        self._numbers: deque[int] = deque()
        self._handed_out = 0
        self._has_ended = False

    def run(
        self, send: Callable[[Iterator[Request], MessageLog | None], Iterator[Outcome]]
    ) -> Iterator[tuple[Record, Outcome]]:
        """Yield each record with its outcome, in the order of the records.

        Args:
            send: sends requests and yields their outcomes in order, as a client's ``map`` does.
        """
        while not self._has_ended:
            log = None if self._log is None else _Log(self._log, self._sizes, self)
            for outcome in send(self._requests(), log):
                yield from self._take_refused()
                self._numbers.popleft()
                self._handed_out += 1
                yield self._waiting.popleft(), outcome
                yield from self._take_refused()
            yield from self._take_refused()
            self._sizes, self._handed_out = (), 0

    def number_of(self, request: int) -> int:
        """The number of the record of a request, which has no outcome so far."""
        return self._numbers[request - self._handed_out]

    def _requests(self) -> Iterator[Request]:
        refused_in_a_row = 0
        for record in self._records:
            self._waiting.append(record)
            if isinstance(record.request, Request):
                refused_in_a_row = 0
                self._numbers.append(record.number)
                yield record.request
            else:
                refused_in_a_row += 1
                if refused_in_a_row >= _MAX_REFUSED_IN_A_ROW and self._is_past_the_log():
                    return
        self._has_ended = True

    def _is_past_the_log(self) -> bool:
        """Whether all requests are read that must share messages as in an earlier run."""
        return self._handed_out + len(self._numbers) >= sum(self._sizes)

    def _take_refused(self) -> Iterator[tuple[Record, Outcome]]:
        while self._waiting and isinstance(error := self._waiting[0].request, RequestError):
            yield self._waiting.popleft(), error


class _Log:
    """A log of one call of ``map``, which numbers requests from 0."""

    def __init__(self, log: RecordLog, sizes: tuple[int, ...], records: InOrder) -> None:
        self._log, self.sizes, self._records = log, sizes, records

    def enter(self, first: int, count: int, attempt: int) -> LoggedMessage:
        numbers = self._records.number_of(first), self._records.number_of(first + count - 1)
        return self._log.enter(*numbers, count, attempt)

    def sent(self, request_id: str) -> None:
        self._log.sent(request_id)
