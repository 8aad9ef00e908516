"""How an app gets this transport: ``Celery(..., amqp="worker.transport:AMQP")``, broker URLs unchanged.

``broker_transport`` takes a class too, but then kombu forgets the scheme: ``rediss://`` loses its TLS, a failover to
the next URL goes back to the stock transport, and Flower is shown a URL that it cannot read. Replacing the entries in
kombu's table of transports would change every app of the process.
"""

from __future__ import annotations

from typing import Any

import celery.app.amqp
import kombu
from kombu.transport import redis as stock

from worker.transport.transport import Transport

__all__ = ["AMQP", "Connection"]


class Connection(kombu.Connection):
    """A connection that uses :class:`Transport` wherever kombu would use its Redis transport."""

    def get_transport_cls(self) -> Any:
        """The class for this URL's scheme."""
        found = super().get_transport_cls()
        return Transport if found is stock.Transport else found


class AMQP(celery.app.amqp.AMQP):
    """What an app makes its connections with."""

    Connection = Connection
    BrokerConnection = Connection
