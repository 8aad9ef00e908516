"""Redis connections on which every call ends by a deadline.

redis-py fixes a socket's time-outs when the connection is made, so one pool cannot serve calls with different
deadlines; here each exchange sets what is left of its own. A server that is down, paused or silent therefore costs
the caller the deadline at most (celery/celery#4296 and #6911 are what happens otherwise).
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, ConnectionPool
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

__all__ = ["REFUSALS", "Deadline", "RedisLink", "read", "until"]

T = TypeVar("T")
Command = tuple[str | bytes | int | float, ...]

#: The server does not know the user or the password, or does not let that user do this: no other try mends it.
REFUSALS = (AuthenticationError, AuthorizationError, NoPermissionError, AuthenticationWrongNumberOfArgsError)
#: Pause before a third try and those after it, in seconds: doubled each time up to the second. The second try comes at
#: once, since what broke was most likely a connection that had gone stale while it was idle.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5
#: What a socket is given once the deadline has passed: zero would mean non-blocking.
_LEAST_TIMEOUT_S = 0.001


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The moment ``seconds`` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def left_s(self) -> float:
        """Seconds that are left, zero once it has passed."""
        return max(0.0, self.at_s - time.monotonic())

    def earliest(self, seconds: float) -> Self:
        """The earlier of this deadline and the moment ``seconds`` from now."""
        return type(self)(min(self.at_s, time.monotonic() + seconds))

    def before(self, seconds: float) -> Self:
        """The moment ``seconds`` before this deadline."""
        return type(self)(self.at_s - seconds)


class RedisLink:
    """A few connections to one server, handed out most recently used first; safe in threads and after a fork.

    Args:
        url: as :class:`producer.contract.redis_url.RedisUrl` writes it.
    """

    def __init__(self, url: str) -> None:
        self._factory = ConnectionPool.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0), health_check_interval=0)
        self._idle: deque[AbstractConnection] = deque()
        self._pid = os.getpid()

    def execute(self, commands: Sequence[Command], deadline: Deadline) -> list[Any]:
        """Send ``commands`` in one write and return their replies, trying again while the server cannot be reached.

        Raises:
            RedisError: the last failure before the deadline, or the first that another try would not mend.
        """

        def exchange() -> list[Any]:
            with self.connection(deadline) as connection:
                connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                replies = [read(connection, deadline) for _ in commands]
            for reply in replies:
                if isinstance(reply, RedisError):
                    raise reply
            return replies

        return until(deadline, exchange)

    @contextmanager
    def connection(self, deadline: Deadline) -> Iterator[AbstractConnection]:
        """A connected connection whose socket waits no longer than the deadline; closed after an error.

        A broken connection takes the idle ones with it: a server that went away left all of them stale.
        """
        connection = self._take()
        try:
            _bound(connection, deadline)
            connection.connect()
            yield connection
        except BaseException as error:
            connection.disconnect()
            if isinstance(error, RedisConnectionError):
                self.close()
            raise
        self._idle.append(connection)

    def close(self) -> None:
        """Close the idle connections."""
        # Another thread may take the last one at any time.
        with suppress(IndexError):
            while True:
                self._idle.pop().disconnect()

    def _take(self) -> AbstractConnection:
        if self._pid != os.getpid():
            # The parent still speaks on these sockets: forget them without a word on the wire.
            self._idle, self._pid = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            connection: AbstractConnection = self._factory.connection_class(**self._factory.connection_kwargs)
            return connection


def read(connection: AbstractConnection, deadline: Deadline) -> Any:
    """One reply; an error reply is returned, not raised, so that the replies after it are still read.

    Raises:
        RedisError: the connection broke or the deadline passed.
    """
    try:
        return connection.read_response(timeout=max(deadline.left_s, _LEAST_TIMEOUT_S))
    except (RedisConnectionError, RedisTimeoutError):
        raise
    except RedisError as error:
        return error


def until(deadline: Deadline, attempt: Callable[[], T]) -> T:
    """Call ``attempt`` until it does not fail to reach the server, or the deadline has passed.

    Raises:
        RedisError: the last failure before the deadline, or the first that another try would not mend.
    """
    pause_s = 0.0
    while True:
        try:
            return attempt()
        except REFUSALS:
            raise
        except (RedisConnectionError, RedisTimeoutError):
            if deadline.left_s <= pause_s:
                raise
        time.sleep(pause_s)
        pause_s = min(max(2 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)


def _bound(connection: AbstractConnection, deadline: Deadline) -> None:
    timeout_s = max(deadline.left_s, _LEAST_TIMEOUT_S)
    connection.socket_timeout = timeout_s
    connection.socket_connect_timeout = timeout_s
    connection.update_current_socket_timeout(timeout_s)
