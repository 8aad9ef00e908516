"""Attempts at a request that was delivered or begun before: counted where the results are, before it is computed again.

A message may come back because its worker died, was cut off or was stopped for a while. Then its result may be stored
already, another worker may still be computing it, or it may be what kills its workers. A backend that can tell, and
count, has a method ``claim``. First attempts cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["MAX_ATTEMPTS", "Attempt", "Claim", "Claimer", "FirstClaim", "claim_all", "take_all"]

#: How many attempts on record end it. The first is not on record: whether a worker that died had begun it is unknown.
MAX_ATTEMPTS = 3
#: The same where other requests are in the batch: the last attempt takes no other request with it.
_MAX_ATTEMPTS_TOGETHER = 2

#: An attempt that is known: seconds since the epoch on the server's clock, and the worker.
Attempt = tuple[float, str]


class Claim(Protocol):
    """The right to compute a request and to store its result, until somebody claims it after us."""

    @property
    def stored(self) -> str | None:
        """The state of a result that is final and stored, ``SUCCESS`` or ``FAILURE``; None if there is none."""

    @property
    def may_begin(self) -> bool:
        """Whether another attempt was taken; not if too many are known."""

    @property
    def attempt(self) -> int:
        """The number of this attempt; 1 for what was never claimed."""

    @property
    def history(self) -> Sequence[Attempt]:
        """The attempts before this one, as far as they are known."""


@runtime_checkable
class Claimer(Protocol):
    """A result backend that counts attempts."""

    def claim(
        self, requests: Sequence[tuple[str, str]], worker: str, at_most: int, gives_up_at: int
    ) -> Sequence[Claim]:
        """Claim requests, each given as its task id and its delivery tag.

        Args:
            requests: the requests.
            worker: who claims them.
            at_most: how many attempts may be on record for another to begin.
            gives_up_at: with how many a request has its end; the last of them can then store nothing.

        Raises:
            Exception: the backend does not answer; nothing or a part is claimed.
        """

    def count_attempts(self, tags: Sequence[str]) -> Sequence[int]:
        """How many attempts at each of these messages are known: 1 at one that was never claimed.

        Raises:
            Exception: the backend does not answer.
        """


@runtime_checkable
class Taker(Protocol):
    """A result backend that can tell which of several messages with one id is computed."""

    def take(self, messages: Sequence[tuple[str, str]]) -> Sequence[str | None]:
        """Take messages, each given as its task id and the name of its sending.

        Returns:
            For each None if it is to be computed; else why not: a success is stored (``SUCCESS``), or another message
            with its id is computed.

        Raises:
            Exception: the backend does not answer; none or a part is taken.
        """


@dataclass(frozen=True)
class FirstClaim:
    """The claim of what was not delivered before, or was claimed before: nothing has to be asked."""

    attempt: int = 1
    stored: str | None = None
    may_begin: bool = True
    history: Sequence[Attempt] = ()


def claim_all(backend: object, requests: Sequence[tuple[str, str]], worker: str, *, together: bool) -> Sequence[Claim]:
    """Claim requests at a backend; at one that does not count, all are first attempts.

    Args:
        backend: the result backend.
        requests: the requests, each given as its task id and its delivery tag.
        worker: who claims them.
        together: whether they are in a batch of several.

    Raises:
        Exception: the backend does not answer.
    """
    if not requests or not isinstance(backend, Claimer):
        return [FirstClaim()] * len(requests)
    at_most = _MAX_ATTEMPTS_TOGETHER - 1 if together else MAX_ATTEMPTS - 1
    return backend.claim(requests, worker, at_most, MAX_ATTEMPTS)


def take_all(backend: object, messages: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Take messages whose ids may name several of them, at a backend that can tell.

    Args:
        backend: the result backend.
        messages: each given as its task id and the name of its sending.

    Returns:
        By the name of the sending, why some are not to be computed, as :meth:`Taker.take` says it.

    Raises:
        Exception: the backend does not answer.
    """
    if not messages or not isinstance(backend, Taker):
        return {}
    taken = zip(messages, backend.take(messages), strict=True)
    return {name: state for (_, name), state in taken if state is not None}
