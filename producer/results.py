"""Waiting for answers in Celery's Redis result backend, without a subscription that outlives the wait.

Celery's own client subscribes at every send, whether or not anybody waits (celery/celery#3812); here a wait
subscribes, reads what is there already, listens, and unsubscribes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from redis.connection import AbstractConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producer.link import Deadline, RedisLink, read, until

__all__ = ["ResultReader"]

_KEY_PREFIX = "celery-task-meta-"
_READY_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
#: A notification is lost with its connection, so the keys themselves are read again this often, in seconds.
_RECHECK_S = 1.0


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
        with self._link.connection(deadline) as connection:
            self._command(connection, "SUBSCRIBE", [_KEY_PREFIX + i for i in wanted], deadline)
            # Subscribed before the keys are read: a result stored in between is seen by one or the other.
            while self._read_keys(wanted, found, deadline) and deadline.left_s:
                self._read_notifications(connection, wanted, found, deadline.earliest(_RECHECK_S))
            if deadline.left_s:
                self._command(connection, "UNSUBSCRIBE", [_KEY_PREFIX + i for i in wanted], deadline)
            else:
                connection.disconnect()

    def _read_keys(self, wanted: list[str], found: dict[str, dict[str, Any]], deadline: Deadline) -> bool:
        """Look at the keys that are still missing; True while some are."""
        missing = [i for i in wanted if i not in found]
        if missing:
            (values,) = self._link.execute([("MGET", *(_KEY_PREFIX + i for i in missing))], deadline)
            for request_id, value in zip(missing, values, strict=True):
                _collect(request_id, value, found)
        return any(i not in found for i in missing)

    @staticmethod
    def _read_notifications(
        connection: AbstractConnection, wanted: list[str], found: dict[str, dict[str, Any]], deadline: Deadline
    ) -> None:
        while len(found) < len(wanted) and deadline.left_s:
            # A time-out here only means that nothing was published: the connection stays as it is.
            if not connection.can_read(timeout=deadline.left_s):
                return
            kind, channel, value = _message(read(connection, deadline))
            if kind == b"message":
                _collect(channel.decode().removeprefix(_KEY_PREFIX), value, found)

    @staticmethod
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
