"""A kombu transport for Redis and Valkey that loses no message between fetching and recording it.

``Celery(..., amqp="worker.transport:AMQP")`` is all that an app needs. Producers and other workers stay as they are.

kombu and Celery are imported on first access: who only reads the dead letters needs neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.transport.connection import AMQP, Connection
    from worker.transport.sentinel import SentinelTransport
    from worker.transport.transport import Transport

__all__ = ["AMQP", "Connection", "SentinelTransport", "Transport"]

_MODULES = {
    "AMQP": "connection",
    "Connection": "connection",
    "SentinelTransport": "sentinel",
    "Transport": "transport",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
