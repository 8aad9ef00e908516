"""Takes back messages that the server recorded for this process and that this process does not have.

A reply is lost with its connection. What the script had recorded by then counts as unacknowledged although nobody works
on it, and would come back only after the end of this process's lease.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from worker.transport.protocols import FetchingChannel
from worker.transport.put_back import put_back

__all__ = ["reclaim", "settle"]

logger = logging.getLogger(__name__)

#: A call on a connection whose record ends like this does nothing.
_VOID = b" void"


def reclaim(channel: FetchingChannel) -> list[str]:
    """Put back what lost replies had recorded and what closed channels still held.

    Args:
        channel: any channel on the broker.

    Returns:
        The acknowledgements that closed channels left; the caller has to send them.

    Raises:
        redis.exceptions.RedisError: the server does not answer. What is left stays for the next attempt.
    """
    unsettled = channel.unsettled
    while unsettled.lost_fetches:
        tags = _void_and_read_record(channel, *unsettled.lost_fetches[0])
        # The message that is put back last is taken first.
        unsettled.held.extend(reversed(tags))
        unsettled.lost_fetches.popleft()
        if tags:
            logger.warning("put back %d messages whose delivery was lost with its connection", len(tags))
    done = frozenset(unsettled.acks)
    held = list(unsettled.held)
    # By the lease that held them: this channel may have another one, or none.
    put_back(channel, [tag for tag in held if tag not in done], unsettled.lease)
    for _ in held:  # and not what another thread has added meanwhile
        unsettled.held.popleft()
    return [unsettled.acks.popleft() for _ in range(len(unsettled.acks))]


def settle(channel: FetchingChannel, acknowledge: Callable[[list[str]], None]) -> None:
    """Settle what is left of a channel that closes, on a new connection; without one, the next channel does it.

    Args:
        channel: the channel.
        acknowledge: sends acknowledgements.
    """
    try:
        acks = reclaim(channel)
    except (*channel.connection_errors, channel.ResponseError):
        return
    if not acks:
        return
    try:
        acknowledge(acks)
    except (*channel.connection_errors, channel.ResponseError):
        channel.unsettled.acks.extend(acks)


def _void_and_read_record(channel: FetchingChannel, consumer_id: str, token: int) -> list[str]:
    """Make sure that a call cannot run any more, and return the tags that it recorded if it did run."""
    record, kept_ms = channel.keys.record(consumer_id), max(1, round(channel.visibility_timeout * 1000))
    with channel.unprefixed_client() as client, client.pipeline(transaction=True) as pipe:
        # Appended and not replaced, so that this can be repeated when its own reply is lost.
        written: Any = pipe.append(record, _VOID).pexpire(record, kept_ms).get(record).execute()[-1]
    call, _, tags = written.partition(b" ")
    return list(json.loads(tags[: tags.index(_VOID)])) if call == str(token).encode() else []
