"""What a channel could not settle before it closed; the next channel of this process on the same broker does.

Celery makes a new connection and a new channel after every lost connection. Acknowledgements that were in flight or
that belong to requests of the old channel, and messages whose reply was lost, would otherwise wait for the end of the
process's lease, which may be long.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Broker", "Unsettled", "UnsettledByBroker"]


class Broker(NamedTuple):
    """What two channels have in common when one can settle what the other could not."""

    host: str | None
    port: int | None
    database: str | int | None
    unacked_key: str


@dataclass
class Unsettled:
    """What is left to settle on one broker; written by any thread, taken by the event loop's."""

    #: Delivery tags of messages that are done.
    acks: deque[str] = field(default_factory=deque)
    #: Consumer id and token of fetches whose reply was lost.
    lost_fetches: deque[tuple[str, int]] = field(default_factory=deque)
    #: Delivery tags that a closing channel could not put back.
    held: deque[str] = field(default_factory=deque)

    #: The lease that held all this; empty before there is one.
    lease: str = ""

    def belong_to(self, lease: str) -> None:
        """Forget what another lease held: others have taken it back."""
        if self.lease not in ("", lease):
            self.acks.clear()
            self.lost_fetches.clear()
            self.held.clear()
        self.lease = lease

    def __bool__(self) -> bool:
        return bool(self.acks or self.lost_fetches or self.held)


class UnsettledByBroker:
    """What is left to settle on each broker."""

    def __init__(self) -> None:
        self._by_broker: dict[Broker, Unsettled] = {}

    def on(self, broker: Broker) -> Unsettled:
        """What is left on one broker; all channels on it share the same object."""
        return self._by_broker.setdefault(broker, Unsettled())
