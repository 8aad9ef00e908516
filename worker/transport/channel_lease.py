"""The part of one channel in the lease of its process."""

from __future__ import annotations

import os
import socket

from worker.transport.lease import Lease, Terms
from worker.transport.protocols import FetchingChannel
from worker.transport.put_back import put_back
from worker.transport.take_back import take_back

__all__ = ["ChannelLease"]


class ChannelLease:
    """By which lease a channel holds what it fetches.

    A channel that only publishes, or reads only queues that need no acknowledgement, has none.

    Args:
        channel: the channel.
    """

    def __init__(self, channel: FetchingChannel) -> None:
        self._channel = channel
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
        terms = Terms(channel.keys, lease_s, owner, channel.visibility_timeout, channel.client_maker())
        grant = lease.join(terms)
        self._joined = lease, terms, grant
        channel.unsettled.belong_to(grant)

    def hold(self, tag: str) -> None:
        """Hold a message that the script has not fetched.

        Raises:
            redis.exceptions.RedisError: the server does not answer, or refuses.
        """
        if self.name:
            with self._channel.unprefixed_client() as client:
                client.sadd(self._channel.keys.held_by(self.name), tag)

    def drop(self, tag: str | bytes) -> None:
        """Hold a message no longer whose record is gone.

        Raises:
            redis.exceptions.RedisError: the server does not answer, or refuses.
        """
        if self.name:
            with self._channel.unprefixed_client() as client:
                client.srem(self._channel.keys.held_by(self.name), tag)

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
            take_back(self._channel, *self._joined[:2])

    def leave(self) -> None:
        """The channel is closed. What it could not put back stays with the lease, for the next channel."""
        if self._joined is not None:
            lease, terms, grant = self._joined
            lease.leave(terms, grant)
