"""The transport that kombu makes for a connection."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as stock

from worker.transport.channel import Channel
from worker.transport.poller import Poller

__all__ = ["Transport"]

_HEALTH_TURN_S = 1.0


class Transport(stock.Transport):
    """kombu's Redis transport with a fetch that loses nothing; see ``docs/architecture.md``."""

    Channel = Channel

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cycle = Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Take turns with Celery's event loop."""
        self.cycle.hub = loop
        super().register_with_event_loop(connection, loop)
        # Celery cancels this timer with kombu's own when the connection is lost.
        loop.call_repeatedly(_HEALTH_TURN_S, self.cycle.check_health)
