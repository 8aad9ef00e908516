"""Attempts at a request that was delivered or begun before: counted where the results are, before it is computed again.

A message may come back because its worker died, was cut off or was stopped for a while. Then its result may be stored
already, another worker may still be computing it, or it may be what kills its workers. A backend that can tell, and
count, has a method ``claim``. First attempts cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["MAX_ATTEMPTS", "Attempt", "Claim", "Claimer", "FirstClaim", "claim_all"]

#: How often a request is begun before it is given up.
MAX_ATTEMPTS = 3

#: An attempt that is known: seconds since the epoch on the server's clock, and the worker.
Attempt = tuple[float, str]


class Claim(Protocol):
    """The right to compute a request and to store its result, until somebody claims it after us."""

    @property
    def stored(self) -> str | None:
        """The state of a result that is final and stored, ``SUCCESS`` or ``FAILURE``; None if there is none."""

    @property
    def attempt(self) -> int:
        """The number of this attempt; 1 for what was never claimed."""

    @property
    def history(self) -> Sequence[Attempt]:
        """The attempts before this one, as far as they are known."""


@runtime_checkable
class Claimer(Protocol):
    """A result backend that counts attempts."""

    def claim(self, requests: Sequence[tuple[str, str]], worker: str) -> Sequence[Claim]:
        """Claim requests, each given as its task id and its delivery tag.

        Raises:
            Exception: the backend does not answer; nothing or a part is claimed.
        """

    def is_superseded(self, tag: str, attempt: int) -> bool:
        """Whether another worker has claimed a request since it was begun here.

        Raises:
            Exception: the backend does not answer.
        """


@dataclass(frozen=True)
class FirstClaim:
    """The claim of what was not delivered before, or was claimed before: nothing has to be asked."""

    attempt: int = 1
    stored: str | None = None
    history: Sequence[Attempt] = ()


def claim_all(backend: object, requests: Sequence[tuple[str, str]], worker: str) -> Sequence[Claim]:
    """Claim requests at a backend; at one that does not count, all are first attempts.

    Raises:
        Exception: the backend does not answer.
    """
    if not requests or not isinstance(backend, Claimer):
        return [FirstClaim()] * len(requests)
    return backend.claim(requests, worker)
