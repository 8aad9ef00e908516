"""The options that both clients have: their defaults and their limits. No I/O."""

from __future__ import annotations

from producer.contract.redis_url import RedisUrl, server_url

__all__ = [
    "DEFAULT_CHUNK_S",
    "DEFAULT_IN_FLIGHT",
    "DEFAULT_MAX_CONNECTIONS",
    "DEFAULT_TIMEOUT_S",
    "DEFAULT_URL",
    "MAX_TIMEOUT_S",
    "check_connections",
    "check_timeout",
    "servers",
]

DEFAULT_URL = "redis://localhost:6379/0"
DEFAULT_TIMEOUT_S = 10.0
#: One week: longer than results are usually kept, and less than the 24 days that a socket timeout can hold.
MAX_TIMEOUT_S = 7 * 24 * 3600.0
#: How many messages a map has unanswered: enough for the processes of a few workers.
DEFAULT_IN_FLIGHT = 32
#: How long a worker computes for one message of a map: an interactive request may have to wait for it.
DEFAULT_CHUNK_S = 0.25
DEFAULT_MAX_CONNECTIONS = 16


def check_timeout(timeout_s: float) -> float:
    """The same timeout.

    Raises:
        ValueError: it is no time to wait.
    """
    # NaN fails this comparison too.
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise ValueError(f"timeout_s must be more than 0 and at most {MAX_TIMEOUT_S:g} seconds, not {timeout_s!r}")
    return timeout_s


def check_connections(max_connections: int) -> None:
    """Check that there are enough for a client.

    Raises:
        ValueError: there are not.
    """
    if max_connections < 2:  # noqa: PLR2004 - one for the commands, one for the subscription
        raise ValueError(f"max_connections must be at least 2, not {max_connections!r}")


def servers(broker_url: str, result_backend_url: str | None) -> tuple[RedisUrl, RedisUrl]:
    """Broker and result backend.

    Raises:
        InvalidRedisUrl: a URL cannot be used.
    """
    broker = server_url("broker_url", broker_url)
    return broker, server_url("result_backend_url", result_backend_url) if result_backend_url else broker
