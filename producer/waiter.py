"""Waiting for answers in Celery's Redis result backend, without a subscription that outlives the wait.

Celery's own client subscribes at every send, whether or not anybody waits (celery/celery#3812); here a wait
subscribes, reads what is there already, listens, and unsubscribes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from redis.connection import AbstractConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producer.connections import Deadline, RedisLink, read, until

__all__ = ["ResultReader"]

_KEY_PREFIX = "celery-task-meta-"
_READY_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
#: A notification is lost with its connection, so the keys themselves are read again this often, in seconds.
_RECHECK_S = 1.0
#: The last look at the keys is begun so many of its own round trips, and at least so many seconds, before the deadline:
#: the server's reply is what tells an answer that is late from a server that went away in silence.
_LAST_LOOK_ROUND_TRIPS, _LAST_LOOK_S = 4, 0.1
#: How long a wait that is over gives the server to confirm its end, in seconds.
_LEAVE_S = 0.5


class ResultReader:
    """Reads the stored result records (Celery's "task meta") of requests."""

    def __init__(self, url: str) -> None:
        self._link = RedisLink(url)

    def wait(self, request_ids: Iterable[str], deadline: Deadline) -> dict[str, dict[str, Any]]:
        """The records of all requests that are finished before the deadline, by id; those that are not are left out.

        Raises:
            RedisError: the server could not be reached before the deadline.
        """
        wanted = list(dict.fromkeys(request_ids))
        found: dict[str, dict[str, Any]] = {}
        if wanted:
            until(deadline, lambda: self._listen(wanted, found, deadline))
        return found

    def close(self) -> None:
        """Close the idle connections."""
        self._link.close()

    def _listen(self, wanted: list[str], found: dict[str, dict[str, Any]], deadline: Deadline) -> None:
        channels = [_KEY_PREFIX + i for i in wanted]
        with self._link.connection(deadline) as connection:
            _command(connection, "SUBSCRIBE", channels, deadline)
            # Subscribed before the keys are read: a result stored in between is seen by one or the other.
            while len(found) < len(wanted):
                asked_s = time.monotonic()
                self._read_keys(wanted, found, deadline)
                round_trip_s = time.monotonic() - asked_s
                last_look = deadline.before(max(_LAST_LOOK_S, _LAST_LOOK_ROUND_TRIPS * round_trip_s))
                if not last_look.left_s:
                    # The server is there, so an answer that is still missing is late, even one cut off by the deadline.
                    with suppress(RedisTimeoutError):
                        _read_notifications(connection, wanted, found, deadline, deadline)
                    break
                _read_notifications(connection, wanted, found, last_look.earliest(_RECHECK_S), deadline)
            _leave(connection, channels, deadline)

    def _read_keys(self, wanted: list[str], found: dict[str, dict[str, Any]], deadline: Deadline) -> None:
        missing = [i for i in wanted if i not in found]
        (values,) = self._link.execute([("MGET", *(_KEY_PREFIX + i for i in missing))], deadline)
        for request_id, value in zip(missing, values, strict=True):
            _collect(request_id, value, found)


def _read_notifications(
    connection: AbstractConnection,
    wanted: list[str],
    found: dict[str, dict[str, Any]],
    pause: Deadline,
    deadline: Deadline,
) -> None:
    """Listen until nothing is missing or until ``pause``; what has begun to arrive by then has until the deadline."""
    while len(found) < len(wanted) and pause.left_s:
        # A time-out here only means that nothing was published: the connection stays as it is.
        if not connection.can_read(timeout=pause.left_s):
            return
        kind, channel, value = _message(read(connection, deadline))
        if kind == b"message":
            _collect(channel.decode().removeprefix(_KEY_PREFIX), value, found)


def _leave(connection: AbstractConnection, channels: list[str], deadline: Deadline) -> None:
    """End the subscription, if need be with its connection: what was found shall not be lost over it."""
    if not deadline.left_s:
        connection.disconnect()
        return
    try:
        _command(connection, "UNSUBSCRIBE", channels, deadline.earliest(_LEAVE_S))
    except RedisError:
        connection.disconnect()


def _command(connection: AbstractConnection, command: str, channels: list[str], deadline: Deadline) -> None:
    """SUBSCRIBE or UNSUBSCRIBE, and read on until the server has confirmed every channel."""
    connection.send_command(command, *channels, check_health=False)
    confirmed = 0
    while confirmed < len(channels):
        if not deadline.left_s:
            raise RedisTimeoutError(f"{command} was not confirmed in time")
        kind, _, _ = _message(read(connection, deadline))
        confirmed += kind == command.lower().encode()


def _message(reply: Any) -> tuple[bytes, bytes, Any]:
    if isinstance(reply, RedisError):
        raise reply
    kind, channel, value = reply
    return kind, channel, value


def _collect(request_id: str, value: bytes | None, found: dict[str, dict[str, Any]]) -> None:
    if value is not None:
        record = json.loads(value)
        if record["status"] in _READY_STATES:
            found[request_id] = record
