"""How much a consumer may fetch now, and who decides it.

kombu knows one limit, the prefetch count. A consumer that counts something else, such as the estimated work in its
hands, gives the channel an :class:`Admission`, which is asked before each fetch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["NO_CREDIT", "UNLIMITED", "Admission", "Credit", "Unlimited", "has_foreign_gate"]

#: Messages or bytes. The fetch script needs a number.
UNLIMITED = 1 << 30


@dataclass(frozen=True)
class Credit:
    """How much may be fetched; false if nothing may.

    Attributes:
        messages: number of messages.
        body_bytes: bytes of decoded message bodies. The message that reaches this limit is still fetched, so any
            positive number admits at least one message.
    """

    messages: int = UNLIMITED
    body_bytes: int = UNLIMITED

    def __bool__(self) -> bool:
        return self.messages > 0 and self.body_bytes > 0

    def at_most(self, messages: int = UNLIMITED, body_bytes: int = UNLIMITED) -> Credit:
        """This credit within further limits."""
        return Credit(min(self.messages, messages), min(self.body_bytes, body_bytes))


NO_CREDIT = Credit(0, 0)


class Admission(Protocol):
    """Decides how much a channel may fetch, within its prefetch count."""

    def credit(self) -> Credit:
        """How much may be fetched now."""


class Unlimited:
    """Admits whatever the prefetch count allows."""

    def credit(self) -> Credit:
        """No limit."""
        return Credit()


def has_foreign_gate(qos: object) -> bool:
    """Whether ``can_consume`` was replaced on this instance, as Celery does for ``worker_disable_prefetch``.

    Such a gate counts each message and answers only yes or no. A fetch that takes many messages would overshoot its
    limit, so it has to be asked before each one.
    """
    return "can_consume" in vars(qos)
