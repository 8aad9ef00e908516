"""How an app gets this transport: ``Celery(..., amqp="worker.transport:AMQP")``. Broker URLs stay as they are.

``broker_transport`` takes a class too, but then kombu forgets the scheme of the URL: ``rediss://`` loses its TLS, a
failover to the next URL goes back to the stock transport, and Flower shows a URL that it cannot read. Replacing the
entries in kombu's table of transports would change every app in the process.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import celery.app.amqp
import kombu
from kombu.transport import redis as stock
from kombu.utils.url import maybe_sanitize_url

from worker.transport.sentinel import SentinelTransport
from worker.transport.transport import Transport

__all__ = ["AMQP", "Connection"]


_RETRY_INTERVALS_S = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 3.0}
_OURS = {stock.Transport: Transport, stock.SentinelTransport: SentinelTransport}


class Connection(kombu.Connection):
    """A connection that uses our transports wherever kombu would use its own for Redis."""

    def get_transport_cls(self) -> Any:
        """The transport class for this URL's scheme."""
        found = super().get_transport_cls()
        return _OURS.get(found, found)

    def ensure_connection(self, *args: Any, **options: Any) -> kombu.Connection:
        """Connect, and try again at intervals that do not grow to kombu's 30 s: a server that is back is used soon."""
        return super().ensure_connection(*args, **{**_RETRY_INTERVALS_S, **options})

    def info(self) -> dict[str, Any]:
        """What ``inspect stats`` shows, without the passwords that Celery leaves in it.

        Celery removes only ``password``. For a Unix socket the password is part of ``hostname``, and for Sentinels of
        ``alternates``.
        """
        shown: dict[str, Any] = super().info()
        shown["hostname"] = maybe_sanitize_url(shown["hostname"])
        shown["alternates"] = [maybe_sanitize_url(url) for url in shown.get("alternates") or ()]
        if isinstance(shown.get("ssl"), dict):
            shown["ssl"] = {name: value for name, value in shown["ssl"].items() if name != "ssl_password"}
        options = dict(shown.get("transport_options") or {})
        options.pop("sentinel_kwargs", None)
        return shown | {"transport_options": options}

    def as_uri(self, include_password: bool = False, mask: str = "**", **options: Any) -> str:
        """The URL, with the brackets around an IPv6 address that kombu leaves out."""
        uri: str = super().as_uri(include_password, mask, **options)
        host = self.hostname or ""
        return uri.replace(quote(host, safe=""), f"[{host}]", 1) if ":" in host and "://" not in host else uri


class AMQP(celery.app.amqp.AMQP):
    """What an app makes its connections with."""

    Connection = Connection
    BrokerConnection = Connection
