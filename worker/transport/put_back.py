"""Puts unacknowledged messages back on their queues, as long as they are held by whom they are put back for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kombu.exceptions import InconsistencyError
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from worker.transport.dead_letters import DeadReason
from worker.transport.lease_mark import mark_of
from worker.transport.protocols import FetchingChannel

__all__ = ["put_back"]

_SOURCE = Path(__file__).with_name("put_back.lua").read_text(encoding="utf-8")
#: How many messages one call moves.
_AT_ONCE = 100


@dataclass
class _Pushes:
    """Takes what kombu would push to restore a message."""

    lists: list[str] = field(default_factory=list)
    content: str = ""

    def rpush(self, name: str, content: str) -> None:
        """Called by kombu, for each queue that the message is bound to."""
        self.lists.append(name)
        self.content = content


def put_back(channel: FetchingChannel, tags: Sequence[str | bytes], lease: str, *, is_last: bool = False) -> int:
    """Put messages back on their queues, and move those that cannot be decoded to the dead letters.

    What somebody else holds by now, or has put back or acknowledged, stays as it is.

    Args:
        channel: any channel on the broker.
        tags: their delivery tags. The last one is taken next.
        lease: the lease that holds them; empty if they were fetched without one.
        is_last: whether they are taken after all others instead.

    Returns:
        How many were put back.

    Raises:
        redis.exceptions.RedisError: the server does not answer, or refuses. The rest stays as it is.
    """
    keys, moved = channel.keys, 0
    with channel.unprefixed_client() as client:
        script = client.register_script(_SOURCE)
        for start in range(0, len(tags), _AT_ONCE):
            some = list(tags[start : start + _AT_ONCE])
            records: Any = client.hmget(keys.unacked, some)
            lists: list[str] = []
            arguments: list[str | bytes | int] = ["LPUSH" if is_last else "RPUSH", mark_of(lease)]
            for tag, record in zip(some, records, strict=True):
                if record is not None and (pushes := _pushes_of(channel, tag, record)):
                    lists += [keys.prefix + name for name in pushes.lists]
                    arguments += [tag, pushes.content, len(pushes.lists)]
            if lists:
                moved += int(script(keys=[keys.unacked_index, keys.unacked, *lists], args=arguments))
    return moved


def _pushes_of(channel: FetchingChannel, tag: str | bytes, record: bytes) -> _Pushes | None:
    pushes = _Pushes()
    try:
        payload, exchange, routing_key = loads(bytes_to_str(record))
        channel.restore_to(pushes, payload, exchange, routing_key)
    except (ValueError, TypeError, LookupError, RecursionError, InconsistencyError) as error:
        # Nobody can decode it, or its exchange is gone. Left where it is, it would keep others from being put back.
        channel.bury(tag, DeadReason.MALFORMED, f"it cannot be decoded ({type(error).__name__})")
        return None
    if not pushes.lists:
        channel.bury(tag, DeadReason.MALFORMED, "it belongs to no queue")
        return None
    return pushes
