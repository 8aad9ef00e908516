"""Translates server URLs into options of kombu and Celery, which express sockets, TLS and Sentinels differently."""

from __future__ import annotations

from typing import Any

from producer.contract import RedisUrl, Scheme, Sentinels

__all__ = ["backend_options", "backend_transport_options", "broker_options", "broker_transport_options"]

#: A Sentinel that is gone costs every connection so long, and connections are made on the event loop.
_SENTINEL_TIMEOUT_S = 1.0


def broker_options(server: RedisUrl) -> dict[str, Any]:
    """Celery's settings for the broker."""
    # Without broker_use_ssl, kombu accepts any certificate.
    return {"broker_url": _url(server), **({"broker_use_ssl": dict(server.tls)} if server.tls else {})}


def broker_transport_options(server: RedisUrl) -> dict[str, Any]:
    """Options of kombu's transport for the broker."""
    options = {"client_name": server.client_name} if server.client_name else {}
    return options | _sentinel_options(server.sentinels)


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


def backend_transport_options(server: RedisUrl) -> dict[str, Any]:
    """``result_backend_transport_options`` for the result backend."""
    return _sentinel_options(server.sentinels)


def _sentinel_options(sentinels: Sentinels | None) -> dict[str, Any]:
    if sentinels is None:
        return {}
    connection = {
        "socket_timeout": _SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": _SENTINEL_TIMEOUT_S,
        "username": sentinels.username,
        "password": sentinels.password,
    }
    return {"master_name": sentinels.master_name, "sentinel_kwargs": connection}


def _url(server: RedisUrl) -> str:
    if server.scheme is Scheme.UNIX:
        return f"redis+socket://{server.credentials}{server.address}?virtual_host={server.db}"
    if server.sentinels is not None:
        return ";".join(
            f"{server.scheme}://{server.credentials}{host}/{server.db}" for host in server.sentinels.hosts.split(",")
        )
    return f"{server.scheme}://{server.credentials}{server.address}"
