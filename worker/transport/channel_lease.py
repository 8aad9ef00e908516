"""The part of one channel in the lease of its process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from worker.transport.held import Held
from worker.transport.lease import Lease, Terms
from worker.transport.lease_mark import mark_of
from worker.transport.protocols import FetchingChannel
from worker.transport.put_back import put_back
from worker.transport.take_back import TakeBack

__all__ = ["ChannelLease"]

_MARK = Path(__file__).with_name("mark.lua").read_text(encoding="utf-8")


class ChannelLease:
    """By which lease a channel holds what it fetches.

    A channel that only publishes, or reads only queues that need no acknowledgement, has none.

    Args:
        channel: the channel.
        fetched: what it holds; called by any thread.
    """

    def __init__(self, channel: FetchingChannel, fetched: Callable[[], Held]) -> None:
        self._channel = channel
        self.held = fetched
        self._take_back = TakeBack(channel)
        self._joined: tuple[Lease, Terms, str] | None = None

    @property
    def name(self) -> str:
        """The lease that the channel holds messages by; empty before it consumes any that are recorded."""
        return self._joined[2] if self._joined else ""

    @property
    def is_good(self) -> bool:
        """Whether what was fetched is still this process's, as far as it knows."""
        return self._joined is None or self._joined[0].grant == self._joined[2]

    def join(self, lease: Lease, lease_s: float) -> None:
        """Hold by the lease of this process what is fetched from now on.

        Raises:
            redis.exceptions.RedisError: the server cannot be reached, or refuses.
        """
        if self._joined is None:
            self._join(lease, lease_s)

    def rejoin(self) -> None:
        """Hold by another lease, once the old one has ended.

        Raises:
            redis.exceptions.RedisError: the server cannot be reached, or refuses.
        """
        if self._joined is not None:
            lease, terms, _ = self._joined
            self._join(lease, terms.lease_s)

    def _join(self, lease: Lease, lease_s: float) -> None:
        channel = self._channel
        owner = f"{socket.gethostname()}:{os.getpid()}"
        terms = Terms(
            channel.keys, lease_s, owner, channel.visibility_timeout, channel.client_maker(), channel.unsettled
        )
        channel.qos.delivered_tags()  # kombu makes it on first use, which must not be the thread's
        grant = lease.join(terms, self)
        self._joined = lease, terms, grant
        channel.unsettled.belong_to(grant)

    def hold(self, tag: str) -> None:
        """Hold a message that the script has not fetched.

        Raises:
            redis.exceptions.RedisError: the server does not answer, or refuses.
        """
        self._mark(tag, holds=True)

    def drop(self, tag: str) -> None:
        """Stop holding a message, and leave its record.

        Raises:
            redis.exceptions.RedisError: the server does not answer, or refuses.
        """
        self._mark(tag, holds=False)

    def _mark(self, tag: str, *, holds: bool) -> None:
        if self.name:
            keys = self._channel.keys
            with self._channel.unprefixed_client() as client:
                script = client.register_script(_MARK)
                names = [keys.lease(self.name), keys.unacked]
                script(keys=names, args=[self.name, mark_of(self.name), int(holds), tag])

    def lose(self) -> None:
        """Take in that the lease has ended."""
        if self._joined is not None:
            lease, _, grant = self._joined
            lease.lose(grant)

    def put_back(self, tags: list[str], *, is_last: bool = False) -> None:
        """Put held messages back on their queues; the last one is taken next.

        Raises:
            redis.exceptions.RedisError: the server does not answer, or refuses.
        """
        put_back(self._channel, tags, self.name, is_last=is_last)

    def take_back(self) -> None:
        """Put back on their queues what consumers held that are gone.

        Raises:
            redis.exceptions.RedisError: the server does not answer, or refuses.
        """
        if self._joined is not None and self._joined[0].ended and self.is_good:
            self._take_back.work(*self._joined)

    def leave(self) -> None:
        """The channel is closed. What it could not put back stays with the lease, for the next channel."""
        if self._joined is not None:
            lease, terms, grant = self._joined
            lease.leave(terms, grant, self)
