"""Translates server URLs into options of kombu and Celery, which express sockets and TLS differently."""

from __future__ import annotations

from typing import Any

from producer.contract import RedisUrl, Scheme

__all__ = ["backend_options", "broker_options", "broker_transport_options"]


def broker_options(server: RedisUrl) -> dict[str, Any]:
    """Celery's settings for the broker."""
    # Without broker_use_ssl, kombu accepts any certificate.
    return {"broker_url": _url(server), **({"broker_use_ssl": dict(server.tls)} if server.tls else {})}


def broker_transport_options(server: RedisUrl) -> dict[str, Any]:
    """Options of kombu's transport for the broker."""
    return {"client_name": server.client_name} if server.client_name else {}


def backend_options(server: RedisUrl) -> dict[str, Any]:
    """Celery's settings for the result backend."""
    options: dict[str, Any] = {"result_backend": _url(server)}
    # redis-py's connections to a Unix socket do not accept this option.
    options["redis_socket_keepalive"] = server.scheme is not Scheme.UNIX
    if server.tls:
        # Without this option the backend raises for a rediss:// URL.
        options["redis_backend_use_ssl"] = dict(server.tls)
    if server.client_name:
        options["redis_client_name"] = server.client_name
    return options


def _url(server: RedisUrl) -> str:
    if server.scheme is Scheme.UNIX:
        return f"redis+socket://{server.credentials}{server.address}?virtual_host={server.db}"
    return f"{server.scheme}://{server.credentials}{server.address}"
