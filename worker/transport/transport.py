"""The transport that kombu makes for a connection."""

from __future__ import annotations

from typing import Any, ClassVar

from kombu.transport import redis as stock

from worker.transport.channel import Channel
from worker.transport.lease import LeasesByBroker
from worker.transport.poller import Poller
from worker.transport.protocols import EventLoop
from worker.transport.unsettled import UnsettledByBroker

__all__ = ["Transport"]

_HEALTH_CHECK_S = 1.0
#: How often it is looked whether consumers are gone, in seconds.
_TAKE_BACK_S = 1.0


class Transport(stock.Transport):
    """kombu's Redis transport, with a fetch that loses nothing; see ``docs/decisions/0015-own-transport.md``."""

    Channel = Channel

    #: On the class, since nothing else outlives a lost connection: Celery then makes a new connection, which makes a
    #: new transport. kombu's in-memory transport keeps its queues in the same way.
    unsettled: ClassVar[UnsettledByBroker] = UnsettledByBroker()
    #: On the class as well: what is still running belongs to the lease when the connection is lost.
    leases: ClassVar[LeasesByBroker] = LeasesByBroker()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cycle = Poller()

    def deliver(self, payload: dict[str, Any], queue: str) -> None:
        """Hand a message to the consumer of its queue.

        Raises:
            MalformedMessageError: no message can be made of the payload.
        """
        self._deliver(payload, queue)

    def register_with_event_loop(self, connection: Any, loop: EventLoop) -> None:
        """Take turns with Celery's event loop."""
        self.cycle.hub = loop
        super().register_with_event_loop(connection, loop)
        # Celery cancels these timers with kombu's own when the connection is lost.
        loop.call_repeatedly(_HEALTH_CHECK_S, self.cycle.check_health)
        loop.call_repeatedly(_TAKE_BACK_S, self.cycle.take_back)
