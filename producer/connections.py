"""Redis connections on which every call ends by a deadline.

redis-py sets a socket's timeouts when it connects, so one pool cannot serve calls with different deadlines. Here every
exchange sets its own remaining time instead. A server that is down, paused or silent costs the caller at most the
deadline; without this, callers hang (celery/celery#4296, celery/celery#6911).
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, ConnectionPool
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    MasterDownError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

from producer.contract.redis_url import RedisUrl
from producer.contract.sentinel_url import Sentinels

__all__ = [
    "ACCESS_ERRORS",
    "NOT_MASTER_ERRORS",
    "NO_RETRIES",
    "Command",
    "Deadline",
    "RedisConnections",
    "limit_blocking",
    "read_reply",
    "retry_delays",
    "retry_until",
]

T = TypeVar("T")
Command = tuple[str | bytes | int | float, ...]

#: The server rejects the credentials or does not permit the command. Retrying does not help.
ACCESS_ERRORS = (AuthenticationError, AuthorizationError, NoPermissionError, AuthenticationWrongNumberOfArgsError)
#: The server is not the master any more, or not yet: a retry on a new connection may find the one that is.
NOT_MASTER_ERRORS = (ReadOnlyError, MasterDownError)
#: How long one Sentinel is waited for before the next is asked.
_SENTINEL_TIMEOUT_S = 1.0
#: Calls are retried here, until their deadline, and not by redis-py.
NO_RETRIES: dict[str, Any] = {"protocol": 2, "retry": Retry(NoBackoff(), 0), "health_check_interval": 0}
#: The delay before the third attempt, doubled for each further attempt up to the maximum. The second attempt is
#: immediate: the most likely cause of a failure is a connection that went stale while it was idle.
_FIRST_RETRY_DELAY_S, _MAX_RETRY_DELAY_S = 0.02, 0.5
#: The socket timeout once the deadline has passed; 0 would make the socket non-blocking.
_MIN_SOCKET_TIMEOUT_S = 0.001
_UNLIMITED = 1 << 30


@dataclass(frozen=True)
class Deadline:
    """A point in time.

    Attributes:
        at_s: on the monotonic clock, in seconds.
    """

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The deadline ``seconds`` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline; 0 once it has passed."""
        return max(0.0, self.at_s - time.monotonic())

    def capped(self, seconds: float) -> Self:
        """This deadline, or ``seconds`` from now if that is earlier."""
        return type(self)(min(self.at_s, time.monotonic() + seconds))

    def brought_forward(self, seconds: float) -> Self:
        """The deadline ``seconds`` before this one."""
        return type(self)(self.at_s - seconds)


class RedisConnections:
    """The connections to one server, reused most recently used first. Safe in threads and after a fork.

    With Sentinels, each new connection goes to the server that they call the master then.

    Args:
        url: as :attr:`producer.contract.redis_url.RedisUrl.url` writes it.
        max_connections: how many may be in use at once; further calls wait for one until their deadline.
    """

    def __init__(self, url: str, max_connections: int = _UNLIMITED) -> None:
        server = RedisUrl.parse(url)
        self._make = _connections_by(server.sentinels, server) if server.sentinels else _connections_to(server)
        self._idle: deque[AbstractConnection] = deque()
        self._max_connections = max_connections
        self._free = threading.BoundedSemaphore(max_connections)
        self._pid = os.getpid()

    def execute(self, commands: Sequence[Command], deadline: Deadline) -> list[Any]:
        """Send ``commands`` in one write and return their replies; retry while the server cannot be reached.

        Raises:
            RedisError: the last error before the deadline, or the first that a retry cannot fix.
        """

        def exchange() -> list[Any]:
            with self.acquire(deadline) as connection:
                connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                replies = [read_reply(connection, deadline) for _ in commands]
                problem = next((reply for reply in replies if isinstance(reply, RedisError)), None)
                if isinstance(problem, NOT_MASTER_ERRORS):
                    raise problem
            if problem is not None:
                raise problem
            return replies

        return retry_until(deadline, exchange)

    @contextmanager
    def acquire(self, deadline: Deadline) -> Iterator[AbstractConnection]:
        """Lend a connection whose socket blocks no longer than the deadline; an error closes it.

        A broken connection also closes the idle ones: when a server goes away, all of them are stale. So does one to a
        server that is not the master.

        Raises:
            RedisError: the server could not be reached, or refused the credentials, or no connection came free.
        """
        free = self._free_ones()
        if not free.acquire(timeout=deadline.remaining_s):
            raise RedisTimeoutError(f"all {self._max_connections} connections of the client were in use")
        try:
            connection = self._take_or_create(deadline)
            try:
                limit_blocking(connection, deadline)
                connection.connect()
                yield connection
            except BaseException as error:
                connection.disconnect()
                if isinstance(error, (RedisConnectionError, *NOT_MASTER_ERRORS)):
                    self.close()
                raise
            self._idle.append(connection)
        finally:
            free.release()

    def connect(self, deadline: Deadline) -> AbstractConnection:
        """A connection of the caller's own, which it closes itself.

        Raises:
            RedisError: the server could not be reached, or refused the credentials.
        """
        connection = self._make(deadline)
        limit_blocking(connection, deadline)
        connection.connect()
        return connection

    def close(self) -> None:
        """Close the idle connections."""
        # Another thread may take the last one at any time.
        with suppress(IndexError):
            while True:
                self._idle.pop().disconnect()

    def _free_ones(self) -> threading.BoundedSemaphore:
        if self._pid != os.getpid():
            # The parent process still uses these sockets, so they are dropped without closing them on the wire. Threads
            # of the parent may have held some.
            self._idle, self._pid = deque(), os.getpid()
            self._free = threading.BoundedSemaphore(self._max_connections)
        return self._free

    def _take_or_create(self, deadline: Deadline) -> AbstractConnection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._make(deadline)


def _connections_to(server: RedisUrl) -> Callable[[Deadline], AbstractConnection]:
    # Only parses the URL and creates connections; its own pooling is not used.
    pool = ConnectionPool.from_url(server.url, **NO_RETRIES)

    def make(_: Deadline) -> AbstractConnection:
        connection: AbstractConnection = pool.connection_class(**pool.connection_kwargs)
        return connection

    return make


def _connections_by(sentinels: Sentinels, server: RedisUrl) -> Callable[[Deadline], AbstractConnection]:
    def make(deadline: Deadline) -> AbstractConnection:
        host, port = _find_master(sentinels, deadline)
        return Connection(
            host=host,
            port=port,
            db=server.db,
            username=server.username,
            password=server.password,
            client_name=server.client_name,
            **NO_RETRIES,
        )

    return make


def _find_master(sentinels: Sentinels, deadline: Deadline) -> tuple[str, int]:
    """Ask one Sentinel after the other which server is the master.

    Raises:
        RedisConnectionError: none of them knows one.
    """
    timeout_s = max(_MIN_SOCKET_TIMEOUT_S, min(_SENTINEL_TIMEOUT_S, deadline.remaining_s / len(sentinels.addresses)))
    options = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "username": sentinels.username,
        "password": sentinels.password,
        **NO_RETRIES,
    }
    with Sentinel(sentinels.addresses, sentinel_kwargs=options) as asked:
        host, port = asked.discover_master(sentinels.master_name)
    return host, int(port)


def read_reply(connection: AbstractConnection, deadline: Deadline) -> Any:
    """Read one reply. An error reply is returned, not raised, so that the replies after it can still be read.

    Raises:
        RedisError: the connection broke or the deadline passed.
    """
    try:
        return connection.read_response(timeout=max(deadline.remaining_s, _MIN_SOCKET_TIMEOUT_S))
    except (RedisConnectionError, RedisTimeoutError):
        raise
    except RedisError as error:
        return error


def retry_until(deadline: Deadline, attempt: Callable[[], T]) -> T:
    """Call ``attempt``, and call it again while it cannot reach the server and the deadline has not passed.

    Raises:
        RedisError: the last error before the deadline, or the first that a retry cannot fix.
    """
    for delay_s in retry_delays():
        try:
            return attempt()
        except ACCESS_ERRORS:
            raise
        except (RedisConnectionError, RedisTimeoutError, *NOT_MASTER_ERRORS):
            if deadline.remaining_s <= delay_s:
                raise
        time.sleep(delay_s)
    raise AssertionError("the delays have no end")


def retry_delays() -> Iterator[float]:
    """How long to pause after each failed attempt, in seconds, without end."""
    delay_s = 0.0
    while True:
        yield delay_s
        delay_s = min(max(2 * delay_s, _FIRST_RETRY_DELAY_S), _MAX_RETRY_DELAY_S)


def limit_blocking(connection: AbstractConnection, deadline: Deadline) -> None:
    """Have the connection's socket block no longer than the deadline."""
    timeout_s = max(deadline.remaining_s, _MIN_SOCKET_TIMEOUT_S)
    connection.socket_timeout = timeout_s
    connection.socket_connect_timeout = timeout_s
    connection.update_current_socket_timeout(timeout_s)
