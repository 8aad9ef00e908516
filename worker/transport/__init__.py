"""A kombu transport for Redis and Valkey that loses nothing between its fetch and its record.

``Celery(..., amqp="worker.transport:AMQP")`` is all that an app needs; producers and other workers need nothing.
"""

from worker.transport.connection import AMQP, Connection
from worker.transport.transport import Transport

__all__ = ["AMQP", "Connection", "Transport"]
