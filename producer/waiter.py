"""Waits for answers in Celery's Redis result backend, without a subscription that outlives the wait.

Celery's own client subscribes on every send, whether or not anybody waits (celery/celery#3812). Here, a wait
subscribes, reads the results that are already stored, listens, and unsubscribes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NotRequired, TypedDict

from redis.connection import AbstractConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producer.connections import Deadline, RedisConnections, read_reply, retry_until

__all__ = ["ResultRecord", "ResultWaiter"]

_KEY_PREFIX = "celery-task-meta-"
_FINISHED_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
#: How often the stored results are read again: a notification is lost when its connection breaks.
_RECHECK_INTERVAL_S = 1.0
#: The last check starts this many of its own round trips before the deadline, and at least this many seconds: only the
#: server's reply tells a late answer from a server that silently went away.
_LAST_CHECK_ROUND_TRIPS, _LAST_CHECK_S = 4, 0.1
#: How long a finished wait lets the server take to confirm the unsubscription.
_UNSUBSCRIBE_TIMEOUT_S = 0.5


class ResultRecord(TypedDict):
    """What Celery's result backend stores about a request (its "task meta"), as far as it is read here."""

    status: str
    result: Any
    #: Added by our workers: name, revision and arithmetic of the model that answered.
    model: NotRequired[dict[str, str] | None]


class ResultWaiter:
    """Waits for the stored results of requests.

    Args:
        url: of the result backend, as :attr:`producer.contract.redis_url.RedisUrl.url` writes it.
    """

    def __init__(self, url: str) -> None:
        self._connections = RedisConnections(url)

    def wait(self, request_ids: Iterable[str], deadline: Deadline) -> dict[str, ResultRecord]:
        """Wait until all requests have finished or the deadline has passed.

        Args:
            request_ids: Celery's task ids; duplicates are ignored.
            deadline: when the wait ends.

        Returns:
            The records of the finished requests by request id.

        Raises:
            RedisError: the server could not be reached before the deadline, or refused the credentials.
        """
        wanted = list(dict.fromkeys(request_ids))
        found: dict[str, ResultRecord] = {}
        if wanted:
            retry_until(deadline, lambda: self._subscribe_and_collect(wanted, found, deadline))
        return found

    def close(self) -> None:
        """Close the idle connections."""
        self._connections.close()

    def _subscribe_and_collect(self, wanted: list[str], found: dict[str, ResultRecord], deadline: Deadline) -> None:
        channels = [_KEY_PREFIX + request_id for request_id in wanted]
        with self._connections.acquire(deadline) as connection:
            # Subscribe first, then read: a result stored in between is seen one way or the other.
            _change_subscription(connection, "SUBSCRIBE", channels, deadline)
            while len(found) < len(wanted):
                started_s = time.monotonic()
                self._read_stored(wanted, found, deadline)
                round_trip_s = time.monotonic() - started_s
                last_check = deadline.brought_forward(max(_LAST_CHECK_S, _LAST_CHECK_ROUND_TRIPS * round_trip_s))
                if not last_check.remaining_s:
                    # The server has just replied, so a missing answer is late, even one cut off by the deadline.
                    with suppress(RedisTimeoutError):
                        _read_notifications(connection, wanted, found, deadline, deadline)
                    break
                _read_notifications(connection, wanted, found, last_check.capped(_RECHECK_INTERVAL_S), deadline)
            _unsubscribe(connection, channels, deadline)

    def _read_stored(self, wanted: list[str], found: dict[str, ResultRecord], deadline: Deadline) -> None:
        missing = [request_id for request_id in wanted if request_id not in found]
        (values,) = self._connections.execute([("MGET", *(_KEY_PREFIX + i for i in missing))], deadline)
        for request_id, value in zip(missing, values, strict=True):
            _keep_if_finished(request_id, value, found)


def _read_notifications(
    connection: AbstractConnection,
    wanted: list[str],
    found: dict[str, ResultRecord],
    until: Deadline,
    deadline: Deadline,
) -> None:
    """Listen until all are found or ``until`` has passed; a message that is arriving then has until ``deadline``."""
    while len(found) < len(wanted) and until.remaining_s:
        # A timeout here only means that nothing was published; the connection is still good.
        if not connection.can_read(timeout=until.remaining_s):
            return
        kind, channel, value = _parse_push(read_reply(connection, deadline))
        if kind == b"message":
            _keep_if_finished(channel.decode().removeprefix(_KEY_PREFIX), value, found)


def _unsubscribe(connection: AbstractConnection, channels: list[str], deadline: Deadline) -> None:
    """Unsubscribe, or disconnect if that fails: no failure here may lose the results that were found."""
    if not deadline.remaining_s:
        connection.disconnect()
        return
    try:
        _change_subscription(connection, "UNSUBSCRIBE", channels, deadline.capped(_UNSUBSCRIBE_TIMEOUT_S))
    except RedisError:
        connection.disconnect()


def _change_subscription(connection: AbstractConnection, command: str, channels: list[str], deadline: Deadline) -> None:
    """Send SUBSCRIBE or UNSUBSCRIBE and read until the server has confirmed every channel."""
    connection.send_command(command, *channels, check_health=False)
    confirmed = 0
    while confirmed < len(channels):
        if not deadline.remaining_s:
            raise RedisTimeoutError(f"{command} was not confirmed in time")
        kind, _, _ = _parse_push(read_reply(connection, deadline))
        confirmed += kind == command.lower().encode()


def _parse_push(reply: Any) -> tuple[bytes, bytes, Any]:
    """Kind, channel and value of a message that Redis pushes to a subscriber.

    Raises:
        RedisError: the server replied with an error.
    """
    if isinstance(reply, RedisError):
        raise reply
    kind, channel, value = reply
    return kind, channel, value


def _keep_if_finished(request_id: str, value: bytes | None, found: dict[str, ResultRecord]) -> None:
    if value is not None:
        record: ResultRecord = json.loads(value)
        if record["status"] in _FINISHED_STATES:
            found[request_id] = record
