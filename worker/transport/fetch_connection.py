"""The one connection on which a channel fetches: at most one call in flight, and pushes in between.

No command that waits ever pops a message. With ``CLIENT TRACKING`` the server pushes a message when a list that was
found empty is written to. Tracking belongs to a socket, so it is turned on again after every reconnect.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

from kombu.transport import redis as stock
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from worker.transport.keys import Keys
from worker.transport.script import SHA, SOURCE, Fetch, FetchReply

__all__ = ["FetchConnection"]

logger = logging.getLogger(__name__)

_RESP3 = 3
#: What redis-py returns for a push that our handler took.
_PUSHED = object()

#: Called with the keys of an invalidation, None for all keys.
PushHandler = Callable[[list[bytes] | None], None]


class RedisConnection(Protocol):
    """What is used of a connection of redis-py."""

    protocol: Any

    def register_connect_callback(self, callback: Callable[[Any], None], /) -> None:
        """Call a function after each connect."""

    def send_command(self, *args: Any, **kwargs: Any) -> None:
        """Send a command, after a connect where there is no socket."""

    def can_read(self, timeout: float, /) -> bool:
        """Whether there is something to read within ``timeout`` seconds."""

    def read_response(self, *, disconnect_on_error: bool = True, push_request: bool | None = False) -> Any:
        """Read one reply."""

    def disconnect(self) -> None:
        """Close the socket."""


class FetchConnection:
    """Sends calls of the fetch script on a redis-py connection that the channel owns, and reads what comes back.

    Args:
        keys: the keys that the script uses.
        may_track: whether to ask the server for tracking.
        on_push: called with the keys of an invalidation, None for all keys.
        on_lost: called with the call in flight, None if there was none, when the socket is gone.
    """

    def __init__(
        self, keys: Keys, *, may_track: bool, on_push: PushHandler, on_lost: Callable[[Fetch | None], None]
    ) -> None:
        self.keys = keys
        self.is_tracking = False
        self.in_flight: Fetch | None = None
        #: Names this socket: what a lost reply had recorded is looked up by it.
        self.consumer_id = uuid4().hex
        self._sent_at_s = monotonic()
        self._may_track = may_track
        self._on_push = on_push
        self._on_lost = on_lost
        self._connection: RedisConnection | None = None
        self._sends_source = False

    @property
    def _socket(self) -> socket.socket | None:
        found: socket.socket | None = getattr(self._connection, "_sock", None)
        return found

    @property
    def is_open(self) -> bool:
        """Whether there is a socket."""
        return self._socket is not None

    def uses(self, connection: object) -> bool:
        """Whether calls are sent on this connection of redis-py."""
        return connection is self._connection

    def attach(self, connection: RedisConnection) -> None:
        """Use a connection of redis-py from now on, also after each of its reconnects."""
        if self.uses(connection):
            return
        self._connection = connection
        connection.register_connect_callback(self.on_connect)
        if self.is_open:
            self.on_connect(connection)

    def on_connect(self, connection: Any) -> None:
        """Called by redis-py after each connect; nothing is in flight then."""
        self.abandon()
        self.consumer_id = uuid4().hex
        self.is_tracking = self._may_track and connection.protocol == _RESP3 and self._turn_tracking_on(connection)

    def _turn_tracking_on(self, connection: Any) -> bool:
        connection._get_parser().set_invalidation_push_handler(self._take_push)  # noqa: SLF001 - as redis-py's cache does
        try:
            # Without NOLOOP every fetch would wake its own consumer.
            connection.send_command("CLIENT", "TRACKING", "ON", "NOLOOP", check_health=False)
            return bool(connection.read_response() == b"OK")
        except RedisConnectionError:
            raise
        except ResponseError as error:
            logger.warning("the server refuses CLIENT TRACKING, so queues are polled: %s", error)
            return False

    def send(self, fetch: Fetch) -> None:
        """Send a call; :meth:`read` returns its reply.

        Raises:
            redis.exceptions.ConnectionError: there is no connection to the server.
        """
        self.in_flight, self._sent_at_s = fetch, monotonic()
        script = ("EVAL", SOURCE) if self._sends_source else ("EVALSHA", SHA)
        try:
            # A health check of redis-py reads what follows, and would take a push for the answer to its PING.
            self._attached.send_command(*script, fetch.key_count, *fetch.arguments(self.keys), check_health=False)
        except BaseException:
            # It may have been sent: acknowledgements are repeated, and what was fetched is reclaimed.
            self.abandon()
            raise

    @property
    def _attached(self) -> RedisConnection:
        if self._connection is None:
            raise RedisConnectionError("the channel has no connection to fetch on")
        return self._connection

    def read(self) -> Iterator[tuple[Fetch, FetchReply]]:
        """Read what has arrived on a readable socket: calls and their replies.

        Raises:
            redis.exceptions.ConnectionError: the connection is gone, or the server refused the call.
        """
        try:
            while True:
                answer = self._read_one()
                if answer is not None:
                    yield answer
                if not self.is_open or not self._attached.can_read(0):
                    return
        except ResponseError as error:
            # OOM, READONLY, MISCONF, NOPERM and the like. kombu takes them for channel errors, which can end a worker.
            self.disconnect()
            raise RedisConnectionError(f"the server refused to fetch: {error}") from error
        except Exception:
            self.disconnect()
            raise

    def wait(self, timeout_s: float) -> list[tuple[Fetch, FetchReply]]:
        """Wait for the reply to the call in flight, and return it if it comes in time."""
        answers: list[tuple[Fetch, FetchReply]] = []
        deadline_s = monotonic() + timeout_s
        while self.in_flight and self.is_open and (left_s := deadline_s - monotonic()) > 0:
            if self._attached.can_read(left_s):
                answers += self.read()
        return answers

    def _read_one(self) -> tuple[Fetch, FetchReply] | None:
        try:
            reply = self._attached.read_response(push_request=True, disconnect_on_error=False)
        except NoScriptError:
            # After SCRIPT FLUSH, or on a new server. EVAL sends the source, which the server keeps.
            fetch = self._pop_in_flight()
            self._sends_source = True
            self.send(fetch)
            return None
        if isinstance(reply, list) and reply[:1] == [b"invalidate"]:
            self._take_push(reply)  # hiredis before 3.2 does not mark pushes
            return None
        if not isinstance(reply, list):
            return None
        fetch = self._pop_in_flight()
        self._sends_source = False
        return fetch, FetchReply.parse(reply, fetch)

    def _pop_in_flight(self) -> Fetch:
        fetch, self.in_flight = self.in_flight, None
        if fetch is None:
            raise RedisConnectionError("the server sent a reply although no call was in flight")
        return fetch

    def _take_push(self, message: list[Any]) -> object:
        self._on_push(message[1])
        return _PUSHED

    def drop_if_overdue(self, limit_s: float) -> None:
        """Close the socket if a call has been in flight for too long: a half-open socket never becomes readable."""
        waited_s = monotonic() - self._sent_at_s
        if self.in_flight is None or not self.is_open or waited_s < limit_s:
            return
        if not stock._socket_readable(self._socket):  # noqa: SLF001 - reads nothing, which is what is needed
            logger.warning("Redis has not answered a fetch for %.0f s, dropping the connection", waited_s)
            self.disconnect()

    def disconnect(self) -> None:
        """Close the socket; the channel hears of it."""
        if self._connection is not None:
            self._connection.disconnect()

    def abandon(self) -> None:
        """Give up the call in flight and tracking, since the socket is gone."""
        fetch, self.in_flight = self.in_flight, None
        self.is_tracking = False
        self._on_lost(fetch)
