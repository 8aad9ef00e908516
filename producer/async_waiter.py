"""Waits for answers in an event loop: one subscription, which one task reads for all others."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from producer.async_connections import ATTEMPT_S, CONNECTION_ERRORS, Commands, Connector, read_reply
from producer.connections import ACCESS_ERRORS, Deadline, retry_delays
from producer.expectations import Expectation, Expectations
from producer.outcomes import KEY_PREFIX
from producer.waiter import LAST_CHECK_ROUND_TRIPS, LAST_CHECK_S, RECHECK_INTERVAL_S

__all__ = ["AsyncResultWaiter"]


class AsyncResultWaiter:
    """Waits for the stored results of requests. Belongs to one event loop.

    Args:
        connect: makes the connection of the subscription.
        commands: to the result backend.
    """

    def __init__(self, connect: Connector, commands: Commands) -> None:
        self._connect, self._commands = connect, commands
        self.expectations = Expectations()
        self._subscription: AbstractConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._checker: asyncio.Task[None] | None = None
        self._changing: asyncio.Task[None] | None = None
        #: Those of the tasks that wait.
        self._waiting: set[asyncio.Future[None]] = set()
        self._round_trip_s = 0.0
        self._last_push_s = 0.0

    @property
    def margin_s(self) -> float:
        """How long before its deadline a wait reads its result once more."""
        return max(LAST_CHECK_S, LAST_CHECK_ROUND_TRIPS * self._round_trip_s)

    def expect(self, request_id: str, *, is_sent: bool) -> Expectation:
        """Begin to wait for a result, before its request is sent if that is possible."""
        expectation = self.expectations.expect(request_id, is_sent=is_sent)
        self._keep_reading()
        self._change()
        return expectation

    def release(self, expectation: Expectation) -> None:
        """End the wait for a result."""
        self.expectations.release(expectation)
        self._change()

    async def wait(self, expectation: Expectation, deadline: Deadline) -> None:
        """Wait until a result has come, or the deadline has passed.

        Raises:
            RedisError: the server could not be reached before the deadline, or refused the credentials.
        """
        if expectation.record is not None:
            return
        came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def notice(_: Expectation) -> None:
            if not came.done():
                came.set_result(None)

        expectation.listeners.append(notice)
        self._waiting.add(came)
        try:
            await asyncio.wait([came], timeout=deadline.brought_forward(self.margin_s).remaining_s)
            if came.done():
                came.result()
            elif expectation.record is None:
                # Only a reply tells a late answer from a server that silently went away.
                await self._read([expectation.request_id], deadline)
                await asyncio.wait([came], timeout=deadline.remaining_s)
        finally:
            self._waiting.discard(came)
            with suppress(ValueError):
                expectation.listeners.remove(notice)

    async def close(self) -> None:
        """Close the subscription. It can still be used afterwards."""
        tasks = [task for task in (self._reader, self._checker, self._changing) if task is not None]
        self._reader = self._checker = self._changing = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._disconnect()

    def _keep_reading(self) -> None:
        loop = asyncio.get_running_loop()
        if self._reader is None or self._reader.done():
            self._reader = loop.create_task(self._read_subscription())
        if self._checker is None or self._checker.done():
            self._checker = loop.create_task(self._check())

    async def _read_subscription(self) -> None:
        delays = retry_delays()
        try:
            while True:
                had_pattern = not self.expectations.refuses_pattern
                try:
                    connection = await self._subscribe()
                    delays = retry_delays()
                    while True:
                        self.expectations.take_push(await read_reply(connection))
                        self._last_push_s = time.monotonic()
                        if self.expectations.has_changes:
                            self._change()
                except (RedisError, *CONNECTION_ERRORS) as error:
                    await self._disconnect()
                    if isinstance(error, ACCESS_ERRORS) and not (had_pattern and self.expectations.refuses_pattern):
                        self._refuse(error)
                        return
                await asyncio.sleep(next(delays))
        finally:
            # Also when the event loop ends and cancels its tasks.
            await self._disconnect()

    def _refuse(self, error: Exception) -> None:
        """Tell the tasks that wait; the next wait tries again."""
        for came in self._waiting:
            if not came.done():
                came.set_exception(error)

    async def _subscribe(self) -> AbstractConnection:
        async with asyncio.timeout(ATTEMPT_S):
            connection = self._subscription = await self._connect()
            opening = connection.pack_commands(self.expectations.opening())
            await connection.send_packed_command(opening, check_health=False)
            self.expectations.take_push(await read_reply(connection))
        self._change()
        return connection

    def _change(self) -> None:
        """Send what changes in the subscription, and read what must be read, together with what comes up meanwhile."""
        if self.expectations.has_changes and (self._changing is None or self._changing.done()):
            self._changing = asyncio.get_running_loop().create_task(self._change_all())

    async def _change_all(self) -> None:
        while self._subscription is not None and self.expectations.has_changes:
            connection = self._subscription
            try:
                if changes := self.expectations.changes():
                    await connection.send_packed_command(connection.pack_commands(changes), check_health=False)
                if ids := self.expectations.to_read():
                    await self._read_or_later(ids)
            except (RedisError, *CONNECTION_ERRORS):
                await self._disconnect()

    async def _read_or_later(self, ids: list[str]) -> None:
        try:
            await self._read(ids, Deadline.after(ATTEMPT_S))
        except RedisError:
            await asyncio.sleep(RECHECK_INTERVAL_S)
            self.expectations.read_later(ids)

    async def _check(self) -> None:
        """Read stored results again from time to time, for as long as somebody waits for one."""
        while True:
            await asyncio.sleep(RECHECK_INTERVAL_S)
            ids = self.expectations.to_read_again()
            if not ids:
                continue
            with suppress(RedisError):
                news = await self._read(ids, Deadline.after(ATTEMPT_S))
                if news and time.monotonic() - self._last_push_s > 2 * RECHECK_INTERVAL_S:
                    # They were stored and not pushed: the subscription may have died without a sign.
                    await self._disconnect()

    async def _read(self, ids: list[str], deadline: Deadline) -> int:
        started_s = time.monotonic()
        (values,) = await self._commands.execute([("MGET", *(KEY_PREFIX + i for i in ids))], deadline)
        self._round_trip_s = time.monotonic() - started_s
        return self.expectations.take_stored(ids, values)

    async def _disconnect(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.disconnect(nowait=True)
