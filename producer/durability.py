"""Whether the broker has a request on disk: ``WAITAOF``, which Redis has since 7.2, and Valkey from its beginning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from redis.exceptions import ResponseError

from producer.connections import Command, Deadline
from producer.errors import NotDurable

__all__ = ["Durability"]

#: The server gives up so long before the deadline that its reply still arrives. A server with nothing to do looks at
#: what has run out only every 100 ms (``hz 10``).
_MARGIN_SHARE, _MAX_MARGIN_S = 0.25, 0.5


class Durability:
    """Has a broker confirm that what was sent before on the same connection is on its disk. No I/O."""

    def __init__(self) -> None:
        self._is_possible = False

    def probes(self) -> Iterator[Command]:
        """The command to execute first, unless it is known that the broker can do this at all."""
        if not self._is_possible:
            yield _wait_for_disk(0.0)
            self._is_possible = True

    def refusal(self, error: ResponseError) -> NotDurable:
        """The error of a request when the probe gave ``error``."""
        return NotDurable(f"{_cannot(error)}; the request was not enqueued")

    def confirmation(self, deadline: Deadline) -> Command:
        """The command to send behind the request."""
        remaining_s = deadline.remaining_s
        return _wait_for_disk(remaining_s - min(remaining_s * _MARGIN_SHARE, _MAX_MARGIN_S))

    def check(self, reply: Sequence[int]) -> None:
        """Read the reply.

        Raises:
            NotDurable: the request is not on disk yet.
        """
        if not reply[0]:
            raise NotDurable(
                "the broker has the request, but did not write it to disk in time; with appendfsync no, it never says "
                "that it has"
            )

    def explain(self, error: ResponseError) -> None:
        """Take in an error that the broker gave instead of a reply.

        Raises:
            NotDurable: the error is about the confirmation, and the request was enqueued.
        """
        if "waitaof" in str(error).lower():
            self._is_possible = False
            raise NotDurable(f"{_cannot(error)}; the request was enqueued") from error


def _wait_for_disk(timeout_s: float) -> tuple[str, int, int, int]:
    # The local disk, no replica's, and milliseconds, where 0 would mean without end.
    return ("WAITAOF", 1, 0, max(1, int(timeout_s * 1000)))


def _cannot(error: ResponseError) -> str:
    return f"the broker cannot confirm that a request is on disk (it takes appendonly yes, and Redis 7.2): {error}"
