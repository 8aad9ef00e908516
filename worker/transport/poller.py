"""kombu's poller, with connections that fetch in place of those that wait in BRPOP."""

from __future__ import annotations

import logging
from queue import Empty
from time import monotonic
from typing import Any

from kombu.transport import redis as stock

from worker.transport.protocols import EventLoop

__all__ = ["FETCH", "Poller"]

logger = logging.getLogger(__name__)

#: The kind of connection, beside kombu's BRPOP and LISTEN.
FETCH = "FETCH"
#: How often what needs a timer is done where there is no event loop.
_LOOPLESS_TURN_S = 1.0


class Poller(stock.MultiChannelPoller):
    """Lets each channel send when a turn of the loop begins, and read when its socket is readable."""

    def __init__(self) -> None:
        super().__init__()
        #: kombu's event loop; None while ``drain_events`` polls.
        self.hub: EventLoop | None = None
        self._restored_at_s = float("-inf")

    def on_poll_start(self) -> None:
        """Send what is due."""
        for channel in tuple(self._channels):
            if channel.fetcher.needs_connection:
                self._register_fetch(channel)
                channel.fetcher.send_next()
            if channel.active_fanout_queues:
                self._register_LISTEN(channel)

    def listen(self, channel: Any) -> None:
        """Subscribe a channel to its fanout queues now, where kombu waits for the next turn."""
        self._register_LISTEN(channel)

    def _register_fetch(self, channel: Any) -> None:
        if not self._client_registered(channel, channel.client, FETCH):
            channel.fetcher.fetch_connection.attach(channel.client.connection)
            self._register(channel, channel.client, FETCH)

    def on_readable(self, fileno: int) -> object:
        """Read a socket. What was fetched was within credit, so it is read whatever the credit is now."""
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        if kind != FETCH or channel is None:
            return super().on_readable(fileno)
        if not channel.fetcher.read():
            raise Empty
        return True

    def get(self, callback: object, timeout: float | None = None) -> object:
        """Take one turn without an event loop, and do what otherwise has a timer."""
        self.check_health()
        turn_s = min([_LOOPLESS_TURN_S, *(channel.fetcher.due_in_s for channel in self._channels)])
        return super().get(callback, turn_s if timeout is None else min(timeout, turn_s))

    def maybe_restore_messages(self) -> object:
        """Sweep up messages whose visibility timeout has passed, as stock kombu does."""
        if self.hub is None:
            # kombu calls this after each turn without a message, and polling makes many of them.
            if monotonic() - self._restored_at_s < _LOOPLESS_TURN_S:
                return None
            self._restored_at_s = monotonic()
            self.take_back()
        return super().maybe_restore_messages()

    def take_back(self) -> None:
        """Put back on their queues what consumers held whose leases have ended."""
        for channel in tuple(self._channels):
            try:
                channel.fetcher.lease.take_back()
            except (*channel.connection_errors, channel.ResponseError):
                # The main loop notices a broken connection by itself, and the next call does the rest.
                logger.debug("could not take back messages", exc_info=True)

    def check_health(self) -> None:
        """Drop connections whose reply is overdue."""
        for channel in tuple(self._channels):
            channel.fetcher.check_health()

    def maybe_check_brpop_health(self) -> None:
        """Do nothing: there is no BRPOP, and :meth:`check_health` has a timer of its own."""
