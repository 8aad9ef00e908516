"""Messages that the server recorded for this process and that this process does not have.

A reply is lost with its connection. What the script had recorded by then counts as unacknowledged, and nobody works on
it: without this it would come back after the visibility timeout.
"""

from __future__ import annotations

import json
import logging
from typing import Any

__all__ = ["reclaim"]

logger = logging.getLogger(__name__)

#: A call on a connection whose record ends like this does nothing.
_VOID = b" void"


def reclaim(channel: Any) -> list[str]:
    """Put back what lost replies had recorded and closed channels still held; returns acknowledgements to send.

    Raises:
        redis.exceptions.RedisError: the server is not there; what is left stays for the next attempt.
    """
    leftovers = channel.leftovers
    while leftovers.lost:
        consumer, token = leftovers.lost[0]
        tags = _recorded(channel, consumer, token)
        # The last one put back is the first one taken.
        leftovers.held.extend(reversed(tags))
        leftovers.lost.popleft()
        if tags:
            logger.warning("put back %d messages whose delivery was lost with its connection", len(tags))
    done = frozenset(leftovers.acks)
    while leftovers.held:
        if leftovers.held[0] not in done:
            channel.qos.restore_by_tag(leftovers.held[0])
        leftovers.held.popleft()
    return [leftovers.acks.popleft() for _ in range(len(leftovers.acks))]


def _recorded(channel: Any, consumer: str, token: int) -> list[str]:
    """The tags that a call recorded, none if it did not run; it cannot run any more afterwards."""
    record, kept_ms = channel.names.record(consumer), max(1, round(channel.visibility_timeout * 1000))
    with channel.plain_client() as client, client.pipeline(transaction=True) as pipe:
        # Appended and not replaced, so that this can be done again when its own reply is lost.
        written = pipe.append(record, _VOID).pexpire(record, kept_ms).get(record).execute()[-1]
    call, _, tags = written.partition(b" ")
    return list(json.loads(tags[: tags.index(_VOID)])) if call == str(token).encode() else []
