"""Broker and result backend as kombu and Celery want them: each spells a socket and TLS in its own way."""

from __future__ import annotations

from typing import Any

from producer.contract import RedisUrl, Scheme

__all__ = ["backend_options", "broker_options", "broker_transport_options"]


def broker_options(server: RedisUrl) -> dict[str, Any]:
    """Celery's settings that lead kombu to the broker."""
    # Without them kombu takes any certificate.
    return {"broker_url": _url(server), **({"broker_use_ssl": dict(server.tls)} if server.tls else {})}


def broker_transport_options(server: RedisUrl) -> dict[str, Any]:
    """What kombu takes as an option of the transport."""
    return {"client_name": server.client_name} if server.client_name else {}


def backend_options(server: RedisUrl) -> dict[str, Any]:
    """Celery's settings that lead its result backend to its server."""
    options: dict[str, Any] = {"result_backend": _url(server)}
    # redis-py's connections to a socket know no such option.
    options["redis_socket_keepalive"] = server.scheme is not Scheme.UNIX
    if server.tls:
        # Without them the backend refuses to be made.
        options["redis_backend_use_ssl"] = dict(server.tls)
    if server.client_name:
        options["redis_client_name"] = server.client_name
    return options


def _url(server: RedisUrl) -> str:
    if server.scheme is Scheme.UNIX:
        return f"redis+socket://{server.credentials}{server.address}?virtual_host={server.db}"
    return f"{server.scheme}://{server.credentials}{server.address}"
