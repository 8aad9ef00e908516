"""A kombu transport for Redis and Valkey that loses no message between fetching and recording it.

``Celery(..., amqp="worker.transport:AMQP")`` is all that an app needs. Producers and other workers stay as they are.
"""

from worker.transport.connection import AMQP, Connection
from worker.transport.transport import Transport

__all__ = ["AMQP", "Connection", "Transport"]
