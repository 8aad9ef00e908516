"""Takes back what consumers held whose lease has ended, so that others get it."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

from worker.transport.lease import Lease, Terms
from worker.transport.protocols import FetchingChannel
from worker.transport.put_back import put_back

__all__ = ["take_back"]

logger = logging.getLogger(__name__)

#: How long the event loop does this at a stretch, and how many messages at once.
_TURN_S, _AT_ONCE = 0.2, 100


def take_back(channel: FetchingChannel, lease: Lease, terms: Terms) -> None:
    """Put the messages of ended leases back on their queues. What is left after a while is left to the next call.

    Several consumers may do this at once: each message is moved once.

    Raises:
        redis.exceptions.RedisError: the server does not answer, or refuses.
    """
    until_s = monotonic() + _TURN_S
    for name in lease.ended:
        held, moved = terms.keys.held_by(name), 0
        with channel.unprefixed_client() as client:
            while monotonic() < until_s:
                tags: Any = client.srandmember(held, _AT_ONCE)
                if not tags:
                    terms.call(client, "settle", name)
                    lease.ended = tuple(other for other in lease.ended if other != name)
                    break
                put = put_back(channel, tags, name)
                moved += put
                if not put:
                    break  # another consumer does the same, or these cannot be put back
        if moved:
            logger.warning("took back %d messages of a consumer that is gone (lease %s)", moved, name)
