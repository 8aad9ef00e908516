"""One connection of an event loop to a Redis server, on which the commands of all its tasks are sent together.

What several tasks want to send while a reply is awaited goes out in the next write; requests for the same queue in one
``LPUSH``. Each task waits until its own deadline, whatever the server does.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producer.connections import ACCESS_ERRORS, NOT_MASTER_ERRORS, Command, Deadline, retry_delays
from producer.contract.redis_url import RedisUrl
from producer.contract.sentinel_url import Sentinels

__all__ = ["ATTEMPT_S", "CONNECTION_ERRORS", "Commands", "Connector", "connector_to", "read_reply"]

#: A new connection may get an answer where this one does not.
CONNECTION_ERRORS = (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError)
#: How long one attempt may take: then the connection may be dead without a sign, and another one is made.
ATTEMPT_S = 10.0
_SENTINEL_TIMEOUT_S = 1.0
_MAX_COMMANDS, _MAX_BYTES = 256, 1024 * 1024

Connector = Callable[[], Awaitable[AbstractConnection]]


def connector_to(server: RedisUrl) -> Connector:
    """What makes connected connections to a server, or to the one that Sentinels call the master then.

    It raises a RedisError if the server cannot be reached or refuses the credentials. The caller bounds its time.
    """
    options: dict[str, Any] = {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "socket_timeout": None,
        "socket_connect_timeout": None,
    }
    sentinels = server.sentinels
    if sentinels is None:
        # Only parses the URL and creates connections; its own pooling is not used.
        pool = ConnectionPool.from_url(server.url, **options)

        async def connect() -> AbstractConnection:
            return await _connected(pool.connection_class(**pool.connection_kwargs))

        return connect

    async def connect_to_master() -> AbstractConnection:
        host, port = await _find_master(sentinels, options)
        return await _connected(
            Connection(
                host=host,
                port=port,
                db=server.db,
                username=server.username,
                password=server.password,
                client_name=server.client_name,
                **options,
            )
        )

    return connect_to_master


async def _connected(connection: AbstractConnection) -> AbstractConnection:
    try:
        await connection.connect()
    except BaseException:
        # Also when the time is up: half a connection would stay open.
        await connection.disconnect(nowait=True)
        raise
    return connection


async def _find_master(sentinels: Sentinels, options: dict[str, Any]) -> tuple[str, int]:
    timeouts = {"socket_timeout": _SENTINEL_TIMEOUT_S, "socket_connect_timeout": _SENTINEL_TIMEOUT_S}
    credentials = {"username": sentinels.username, "password": sentinels.password}
    asked = Sentinel(sentinels.addresses, sentinel_kwargs={**options, **timeouts, **credentials})
    try:
        host, port = await asked.discover_master(sentinels.master_name)
    finally:
        for sentinel in asked.sentinels:
            await sentinel.aclose()
    return host, int(port)


async def read_reply(connection: AbstractConnection) -> Any:
    """Read one reply. An error reply is returned, not raised, so that the replies after it can still be read.

    Raises:
        RedisError: the connection broke.
    """
    try:
        return await connection.read_response(timeout=math.inf)
    except (RedisConnectionError, RedisTimeoutError):
        raise
    except RedisError as error:
        return error


@dataclass(eq=False)
class _Entry:
    commands: Sequence[Command]
    deadline: Deadline
    replies: asyncio.Future[list[Any]]
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.size_bytes = sum(len(p) for c in self.commands for p in c if isinstance(p, (str, bytes)))


class Commands:
    """Sends commands and returns their replies, all on one connection. Belongs to one event loop."""

    def __init__(self, connect: Connector) -> None:
        self._connect = connect
        self._connection: AbstractConnection | None = None
        self._queue: deque[_Entry] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._problem: RedisError | None = None

    async def execute(self, commands: Sequence[Command], deadline: Deadline) -> list[Any]:
        """Send ``commands`` one after the other and return their replies; retry while the server cannot be reached.

        Commands whose caller is cancelled are not sent, unless they have been already.

        Raises:
            RedisError: the last error before the deadline, or the first that a retry cannot fix.
        """
        entry = self._enqueue(commands, deadline)
        try:
            async with asyncio.timeout(deadline.remaining_s):
                replies = await entry.replies
        except TimeoutError:
            raise self._problem or RedisTimeoutError("no reply in time") from None
        problem = next((reply for reply in replies if isinstance(reply, RedisError)), None)
        if problem is not None:
            raise problem
        return replies

    def send(self, command: Command, deadline: Deadline) -> None:
        """Send a command whose reply nobody needs."""
        self._enqueue([command], deadline)

    async def close(self) -> None:
        """Close the connection once what is being sent is answered, or given up. It can still be used afterwards."""
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending
        await self._disconnect()

    def _enqueue(self, commands: Sequence[Command], deadline: Deadline) -> _Entry:
        loop = asyncio.get_running_loop()
        entry = _Entry(commands, deadline, loop.create_future())
        self._queue.append(entry)
        if self._sending is None or self._sending.done():
            self._sending = loop.create_task(self._send_all())
        return entry

    async def _send_all(self) -> None:
        delays = retry_delays()
        while batch := self._take_batch():
            try:
                await self._exchange(batch)
                self._problem, delays = None, retry_delays()
            except asyncio.CancelledError:
                _fail(batch, RedisConnectionError("the client was closed"))
                raise
            except ACCESS_ERRORS as error:
                await self._disconnect()
                _fail(batch, error)
            except (*CONNECTION_ERRORS, *NOT_MASTER_ERRORS) as error:
                await self._disconnect()
                self._problem = error if isinstance(error, RedisError) else RedisConnectionError(str(error))
                self._queue.extendleft(reversed(batch))
                await asyncio.sleep(next(delays))
            except RedisError as error:
                await self._disconnect()
                _fail(batch, error)

    def _take_batch(self) -> list[_Entry]:
        batch: list[_Entry] = []
        size_bytes = 0
        while self._queue and len(batch) < _MAX_COMMANDS and size_bytes < _MAX_BYTES:
            entry = self._queue.popleft()
            # A caller that is gone has cancelled its future.
            if not entry.replies.done() and entry.deadline.remaining_s:
                batch.append(entry)
                size_bytes += entry.size_bytes
        return batch

    async def _exchange(self, batch: list[_Entry]) -> None:
        last = max(batch, key=lambda entry: entry.deadline.at_s).deadline
        async with asyncio.timeout(min(ATTEMPT_S, last.remaining_s)):
            if self._connection is None:
                self._connection = await self._connect()
            commands, owners = _merge(batch)
            await self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
            replies = [await read_reply(self._connection) for _ in commands]
        _raise_if_not_master(replies)
        for entry, indices in owners:
            if not entry.replies.done():
                entry.replies.set_result([replies[index] for index in indices])

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def _merge(batch: list[_Entry]) -> tuple[list[Command], list[tuple[_Entry, list[int]]]]:
    """The commands to send, and for each entry the indices of its replies."""
    commands: list[Command] = []
    owners: list[tuple[_Entry, list[int]]] = []
    pushes: dict[Any, int] = {}
    for entry in batch:
        first = entry.commands[0]
        if len(entry.commands) == 1 and first[0] == "LPUSH":
            at = pushes.setdefault(first[1], len(commands))
            if at == len(commands):
                commands.append(first)
            else:
                commands[at] = (*commands[at], *first[2:])
            owners.append((entry, [at]))
        else:
            owners.append((entry, list(range(len(commands), len(commands) + len(entry.commands)))))
            commands += entry.commands
    return commands, owners


def _raise_if_not_master(replies: Sequence[object]) -> None:
    for reply in replies:
        if isinstance(reply, NOT_MASTER_ERRORS):
            raise reply


def _fail(batch: Sequence[_Entry], error: RedisError) -> None:
    for entry in batch:
        if not entry.replies.done():
            entry.replies.set_exception(error)
            # Nobody waits for the reply of some.
            entry.replies.exception()
