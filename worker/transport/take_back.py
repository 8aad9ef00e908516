"""Takes back what consumers held whose lease has ended, so that others get it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import redis

from worker.transport.lease import Lease, Terms
from worker.transport.lease_mark import mark_of
from worker.transport.protocols import FetchingChannel
from worker.transport.put_back import put_back

__all__ = ["TakeBack"]

logger = logging.getLogger(__name__)

_SOURCE = Path(__file__).with_name("find_held.lua").read_text(encoding="utf-8")
#: How long the event loop does this at a stretch.
_TURN_S = 0.2
#: How long others leave the search to a consumer that does not go on with it, in milliseconds.
_CLAIM_MS = 3000
_OUTDATED, _CLAIMED = -1, 0


@dataclass
class _Search:
    """One search through all records, for what some leases hold.

    Attributes:
        leases: the leases.
        place: score and tag of the last record that was read; empty at first, and when there are no more.
        found: the leases of which something was found.
        moved: how many messages were put back.
    """

    leases: tuple[str, ...]
    place: tuple[bytes, bytes] = (b"", b"")
    found: set[str] = field(default_factory=set)
    moved: int = 0

    def arguments(self) -> Iterator[str | bytes | int]:
        """What the script takes after who searches."""
        yield from (_CLAIM_MS, *self.place)
        for lease in self.leases:
            yield from (lease, mark_of(lease))


class TakeBack:
    """Puts the messages of ended leases back on their queues, some in each turn of the event loop.

    Several consumers may do this at once: each message is moved once. A lease is forgotten once a search that began
    after its end has found nothing of it.

    Args:
        channel: any channel on the broker.
    """

    def __init__(self, channel: FetchingChannel) -> None:
        self._channel = channel
        self._search: _Search | None = None

    def work(self, lease: Lease, terms: Terms, me: str) -> None:
        """Do some of it. What is left after a while is left to the next call.

        Args:
            lease: the lease of this process, which knows the ended ones.
            terms: where it was taken.
            me: its name.

        Raises:
            redis.exceptions.RedisError: the server does not answer, or refuses. The next call searches again.
        """
        until_s = monotonic() + _TURN_S
        search, self._search = self._search, None
        with self._channel.unprefixed_client() as client:
            while lease.ended and monotonic() < until_s:
                search = search or _Search(lease.ended)
                if not self._go_on(search, client, lease, terms, me):
                    return
                if not any(search.place):
                    self._conclude(search, client, lease, terms)
                    if search.found and not search.moved:
                        return  # another consumer does the same, or these cannot be put back
                    search = None
        self._search = search

    def _go_on(self, search: _Search, client: redis.Redis, lease: Lease, terms: Terms, me: str) -> bool:
        """Read some records, and put back those that were searched for. False if it is not for this consumer to do."""
        keys = terms.keys
        state, *reply = client.register_script(_SOURCE)(
            keys=[keys.ended_leases, keys.search, keys.unacked_index, keys.unacked], args=[me, *search.arguments()]
        )
        if state == _OUTDATED:
            lease.ended = ()  # the next renewal tells which leases have ended
        if state in (_OUTDATED, _CLAIMED):
            return False
        score, tag, *found = reply
        held = defaultdict(list)
        for number, held_tag in zip(found[::2], found[1::2], strict=True):
            held[search.leases[number - 1]].append(held_tag)
        for name, tags in held.items():
            search.found.add(name)
            # The message that is put back last is taken first.
            if moved := put_back(self._channel, tags[::-1], name):
                search.moved += moved
                logger.warning("took back %d messages of a consumer that is gone (lease %s)", moved, name)
        search.place = score, tag
        return True

    def _conclude(self, search: _Search, client: redis.Redis, lease: Lease, terms: Terms) -> None:
        if empty := [name for name in search.leases if name not in search.found]:
            client.zrem(terms.keys.ended_leases, *empty)
            lease.ended = tuple(name for name in lease.ended if name not in empty)
