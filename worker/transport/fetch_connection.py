"""The one connection on which a channel fetches: at most one call in flight, and pushes in between.

Nothing is ever popped by a command that waits. With ``CLIENT TRACKING`` the server itself tells when a list that was
found empty is written to; tracking belongs to a socket, so that every reconnect turns it on anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any
from uuid import uuid4

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from worker.transport.script import SHA, SOURCE, Fetch, FetchReply, Names

__all__ = ["Link"]

logger = logging.getLogger(__name__)

_RESP3 = 3
#: Returned by redis-py for a push that our handler took.
_PUSHED = object()


class Link:
    """Sends calls of the fetch script on a redis-py connection that the channel owns, and reads what comes.

    Args:
        names: the keys.
        may_track: whether to ask for tracking at all.
        on_push: called with the keys of an invalidation, None for all keys.
        on_lost: called with the call in flight when its connection went away.
    """

    def __init__(
        self,
        names: Names,
        *,
        may_track: bool,
        on_push: Callable[[list[bytes] | None], None],
        on_lost: Callable[[Fetch | None], None],
    ) -> None:
        self.names = names
        self.tracks = False
        self.in_flight: Fetch | None = None
        self.sent_at_s = monotonic()
        #: Of this socket: what a lost reply recorded is looked up by it.
        self.consumer = uuid4().hex
        self._may_track = may_track
        self._on_push = on_push
        self._on_lost = on_lost
        self._connection: Any = None
        self._full_script = False

    @property
    def is_open(self) -> bool:
        """Whether there is a socket."""
        return self._connection is not None and self._connection._sock is not None  # noqa: SLF001 - kombu does as well

    @property
    def socket(self) -> Any:
        """The socket itself."""
        return self._connection._sock  # noqa: SLF001 - as above

    def attach(self, connection: Any) -> None:
        """Fetch on this connection of redis-py, from now on and after each of its reconnects."""
        if self._connection is connection:
            return
        self._connection = connection
        connection.register_connect_callback(self.on_connect)
        if self.is_open:
            self.on_connect(connection)

    def on_connect(self, connection: Any) -> None:
        """Called by redis-py whenever the connection is made; nothing is in flight then."""
        self.forget()
        self.consumer = uuid4().hex
        self.tracks = self._may_track and connection.protocol == _RESP3 and self._turn_tracking_on(connection)

    def _turn_tracking_on(self, connection: Any) -> bool:
        connection._get_parser().set_invalidation_push_handler(self._take_push)  # noqa: SLF001 - redis-py's cache does
        try:
            # Without NOLOOP every fetch would wake itself.
            connection.send_command("CLIENT", "TRACKING", "ON", "NOLOOP", check_health=False)
            return bool(connection.read_response() == b"OK")
        except RedisConnectionError:
            raise
        except ResponseError as error:
            logger.warning("CLIENT TRACKING is refused, so queues are polled: %s", error)
            return False

    def send(self, fetch: Fetch) -> None:
        """Send a call; its reply comes by :meth:`read`."""
        self.in_flight, self.sent_at_s = fetch, monotonic()
        script = ("EVAL", SOURCE) if self._full_script else ("EVALSHA", SHA)
        try:
            # A health check of redis-py would read what follows and take a push for the answer to its PING.
            self._connection.send_command(*script, *fetch.arguments(self.names), check_health=False)
        except BaseException:
            self.forget()  # perhaps it was sent: its acknowledgements are repeated, and what it fetched is reclaimed
            raise

    def read(self) -> Iterator[tuple[Fetch, FetchReply]]:
        """What has arrived, once the socket is readable.

        Raises:
            redis.exceptions.ConnectionError: the connection is gone, or the server cannot do what it is asked now.
        """
        try:
            while True:
                answer = self._read_one()
                if answer is not None:
                    yield answer
                if not self.is_open or not self._connection.can_read(0):
                    return
        except ResponseError as error:
            # OOM, READONLY, MISCONF, NOPERM...: to kombu a channel error, which can end a worker.
            self.disconnect()
            raise RedisConnectionError(f"the server refused to fetch: {error}") from error
        except Exception:
            self.disconnect()
            raise

    def wait(self, timeout_s: float) -> list[tuple[Fetch, FetchReply]]:
        """What the call in flight finds, if it is answered in time."""
        answers: list[tuple[Fetch, FetchReply]] = []
        deadline_s = monotonic() + timeout_s
        while self.in_flight and self.is_open and (left_s := deadline_s - monotonic()) > 0:
            if self._connection.can_read(left_s):
                answers += self.read()
        return answers

    def _read_one(self) -> tuple[Fetch, FetchReply] | None:
        try:
            reply = self._connection.read_response(push_request=True, disconnect_on_error=False)
        except NoScriptError:
            # After SCRIPT FLUSH, or on a new server: the whole script, which the server keeps.
            fetch = self._taken()
            self._full_script = True
            self.send(fetch)
            return None
        if isinstance(reply, list) and reply[:1] == [b"invalidate"]:
            self._take_push(reply)  # hiredis before 3.2 does not mark pushes
            return None
        if not isinstance(reply, list):
            return None
        fetch = self._taken()
        self._full_script = False
        return fetch, FetchReply.parse(reply, fetch)

    def _taken(self) -> Fetch:
        fetch, self.in_flight = self.in_flight, None
        if fetch is None:
            raise RedisConnectionError("the server answered what nobody asked")
        return fetch

    def _take_push(self, message: list[Any]) -> object:
        self._on_push(message[1])
        return _PUSHED

    def disconnect(self) -> None:
        """Close the socket; the channel hears of it."""
        if self._connection is not None:
            self._connection.disconnect()

    def belongs_to(self, connection: Any) -> bool:
        """Whether it is this connection that is meant."""
        return connection is self._connection

    def forget(self) -> None:
        """The socket is gone: nothing will be answered any more."""
        fetch, self.in_flight = self.in_flight, None
        self.tracks = False
        self._on_lost(fetch)
