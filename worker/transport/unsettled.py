"""What a channel could not settle before it closed; the next one of this process on the same broker does.

Celery makes a new channel after every lost connection. Acknowledgements that were under way, or that come from requests
of the old channel, and messages that a lost reply had recorded would otherwise wait for the visibility timeout.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

__all__ = ["Identity", "Leftovers", "leftovers_of"]

#: Host, port, database and the key of the unacknowledged messages.
Identity = tuple[object, object, object, str]


@dataclass
class Leftovers:
    """Written by any thread, taken by the one of the event loop."""

    #: Delivery tags that are done.
    acks: deque[str] = field(default_factory=deque)
    #: Fetches whose reply was lost: consumer and token.
    lost: deque[tuple[str, int]] = field(default_factory=deque)
    #: Delivery tags that a closing channel could not put back.
    held: deque[str] = field(default_factory=deque)

    def __bool__(self) -> bool:
        return bool(self.acks or self.lost or self.held)


_leftovers: defaultdict[Identity, Leftovers] = defaultdict(Leftovers)


def leftovers_of(identity: Identity) -> Leftovers:
    """Those of one broker, shared by all its channels in this process."""
    return _leftovers[identity]
