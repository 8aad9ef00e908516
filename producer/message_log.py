"""What a caller of ``map`` may keep, so that the next run of the same map computes nothing twice. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["UNSURE_S", "LoggedMessage", "MessageLog"]

#: How long the result of a message is waited for that an earlier run has perhaps sent, in seconds.
UNSURE_S = 5.0


@dataclass(frozen=True)
class LoggedMessage:
    """One message of a map.

    Attributes:
        request_id: under which it is sent.
        may_be_sent: whether an earlier run may have sent it. Its result is then waited for; only if it does not come in
            time, the message is sent again.
        is_unsure: whether the earlier run has not entered that it was sent. Once those before it have ended, it is
            waited for :data:`UNSURE_S` only: a worker would have it by then.
    """

    request_id: str
    may_be_sent: bool = False
    is_unsure: bool = False


class MessageLog(Protocol):
    """Gives each message of a map its id, the same in each run that sends the same requests."""

    @property
    def sizes(self) -> Sequence[int]:
        """How many requests the first messages have each: those that an earlier run may have sent."""

    def enter(self, first: int, count: int, attempt: int) -> LoggedMessage:
        """A message is about to be sent.

        Args:
            first: the number of its first request, from 0.
            count: how many requests it has.
            attempt: 1, or more if it is sent again after a worker failed on it: its id must then be another.
        """

    def sent(self, request_id: str) -> None:
        """The broker has confirmed that it has a message."""
