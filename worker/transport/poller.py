"""kombu's poller, with connections that fetch in place of those that wait in BRPOP."""

from __future__ import annotations

from queue import Empty
from time import monotonic
from typing import Any

from kombu.transport import redis as stock

__all__ = ["FETCH", "Poller"]

#: The kind of connection, beside kombu's BRPOP and LISTEN.
FETCH = "FETCH"
#: Without an event loop: how often what it has timers for is done.
_LOOPLESS_TURN_S = 1.0


class Poller(stock.MultiChannelPoller):
    """Lets each channel fetch when a turn of the loop begins, and read when its socket is readable."""

    def __init__(self) -> None:
        super().__init__()
        #: kombu's event loop, None while ``drain_events`` is what turns.
        self.hub: Any = None
        self._restored_at_s = float("-inf")

    def on_poll_start(self) -> None:
        """Send what there is to send."""
        for channel in tuple(self._channels):
            if channel.fetcher.wants_link():
                self._register_fetch(channel)
                channel.fetcher.turn()
            if channel.active_fanout_queues:
                self._register_LISTEN(channel)

    def listen(self, channel: Any) -> None:
        """Subscribe a channel to all its fanout queues now.

        kombu does so when the next turn begins. Celery says that a worker is ready before its first turn, and what is
        broadcast to it in between, such as a control command, is lost.
        """
        channel._in_listen = None  # noqa: SLF001 - kombu's mark of a channel that has subscribed, to fewer queues
        self._register_LISTEN(channel)

    def _register_fetch(self, channel: Any) -> None:
        if not self._client_registered(channel, channel.client, FETCH):
            channel.fetcher.link.attach(channel.client.connection)
            self._register(channel, channel.client, FETCH)

    def on_readable(self, fileno: int) -> Any:
        """Read a socket; what was fetched was within credit, so it is read whatever the credit is now."""
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        if kind != FETCH or channel is None:
            return super().on_readable(fileno)
        if not channel.fetcher.read():
            raise Empty
        return True

    def get(self, callback: Any, timeout: float | None = None) -> Any:
        """One turn without an event loop: what has no timer here is looked at in between."""
        self.check_health()
        turn_s = min([_LOOPLESS_TURN_S, *(channel.fetcher.sleeps_s() for channel in self._channels)])
        return super().get(callback, turn_s if timeout is None else min(timeout, turn_s))

    def maybe_restore_messages(self) -> Any:
        """The sweep for messages whose visibility timeout has passed, as in stock kombu."""
        if self.hub is None:
            # kombu calls this after each turn without a message, of which polling makes many.
            if monotonic() - self._restored_at_s < _LOOPLESS_TURN_S:
                return None
            self._restored_at_s = monotonic()
        return super().maybe_restore_messages()

    def check_health(self) -> None:
        """Drop connections whose answer is overdue: a half-open one never becomes readable."""
        for channel in tuple(self._channels):
            channel.fetcher.check_health()

    def maybe_check_brpop_health(self) -> None:
        """There is no BRPOP; :meth:`check_health` has a timer of its own."""
