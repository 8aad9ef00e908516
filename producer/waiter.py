"""Waits for answers in Celery's Redis result backend: one subscription for all threads of a client.

Celery's own client subscribes on every send, whether or not anybody waits (celery/celery#3812). Here, one of the
threads that wait reads the subscription for all of them, so no thread runs in the background. When it has its own
answer, another one goes on. What was published while nobody read is read by the next; what was lost is found in the
stored results.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from contextlib import suppress

from redis.connection import AbstractConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producer.connections import ACCESS_ERRORS, Deadline, RedisConnections, limit_blocking, read_reply, retry_until
from producer.expectations import Expectation, Expectations
from producer.outcomes import KEY_PREFIX

__all__ = ["LAST_CHECK_ROUND_TRIPS", "LAST_CHECK_S", "RECHECK_INTERVAL_S", "ResultWaiter", "Wait"]

#: How often the stored results are read again: a notification is lost when its connection breaks.
RECHECK_INTERVAL_S = 1.0
#: The last check starts this many round trips before the deadline, and at least this many seconds: only the server's
#: reply tells a late answer from a server that silently went away.
LAST_CHECK_ROUND_TRIPS, LAST_CHECK_S = 4, 0.1
#: How long a finished wait lets the server take to be told that a channel is left.
_UNSUBSCRIBE_TIMEOUT_S = 0.5


class Wait:
    """What one thread waits for: any of several results.

    Attributes:
        finished: those that have come, in the order in which they came.
        pending: the others by id.
    """

    def __init__(self) -> None:
        self.finished: deque[Expectation] = deque()
        self.pending: dict[str, Expectation] = {}
        self.woken = threading.Event()

    def take(self, expectation: Expectation) -> None:
        """A result has come."""
        self.pending.pop(expectation.request_id, None)
        self.finished.append(expectation)
        self.woken.set()


class _Group:
    """The state that is shared by the threads of one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.expectations = Expectations()
        self.followers: deque[Wait] = deque()
        self.is_led = False
        self.subscription: AbstractConnection | None = None


class ResultWaiter:
    """Waits for the stored results of requests. Safe in threads and after a fork.

    Args:
        connections: to the result backend. One more connection is made for the subscription.
    """

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections
        self._shared = _Group()
        self._round_trip_s = 0.0

    def new_id(self) -> str:
        """An id whose result costs no subscription of its own."""
        return self._group().expectations.new_id()

    def expect(self, request_id: str, wait: Wait | None, *, is_sent: bool) -> Expectation:
        """Begin to wait for a result, before its request is sent if that is possible.

        Args:
            request_id: of the request.
            wait: gets the result when it comes; None to only keep it.
            is_sent: whether the request may have been answered already.
        """
        group = self._group()
        with group.lock:
            expectation = group.expectations.expect(request_id, is_sent=is_sent)
            if wait is None:
                pass
            elif expectation.record is None:
                wait.pending[request_id] = expectation
                expectation.listeners.append(wait.take)
            else:
                wait.take(expectation)
        return expectation

    def release(self, expectation: Expectation, wait: Wait | None) -> None:
        """End the wait for a result."""
        group = self._group()
        with group.lock:
            if wait is not None:
                wait.pending.pop(expectation.request_id, None)
                with suppress(ValueError):
                    expectation.listeners.remove(wait.take)
            group.expectations.release(expectation)

    def wait_for_any(self, wait: Wait, deadline: Deadline) -> bool:
        """Wait until one of the results has come, or the deadline has passed.

        Returns:
            Whether ``wait.finished`` has any.

        Raises:
            RedisError: the server could not be reached before the deadline, or refused the credentials.
        """
        group = self._group()
        if not wait.finished and group.is_led and group.expectations.has_changes:
            # The thread that reads the subscription has to change it. A failure costs no more than a recheck.
            with suppress(RedisError):
                self._connections.execute([("PUBLISH", group.expectations.wake_channel, "")], self._soon(deadline))
        try:
            is_checked = False
            while not wait.finished:
                if self._becomes_leader(group, wait):
                    self._lead(group, wait, deadline)
                    if deadline.remaining_s:
                        # It has the result, or subscribes again without the pattern that the server refused.
                        continue
                    break
                until = deadline if is_checked else self._last_check_of(deadline)
                wait.woken.wait(until.remaining_s)
                if not deadline.remaining_s:
                    break
                if not is_checked and not self._last_check_of(deadline).remaining_s and not wait.finished:
                    self._read(group, list(wait.pending), deadline)
                    is_checked = True
        finally:
            self._hand_over(group, wait)
        return bool(wait.finished)

    def tidy(self, deadline: Deadline) -> None:
        """Leave the channels that nobody waits for any more; no failure here may lose a result."""
        group = self._group()
        if not group.expectations.has_changes:
            return
        with group.lock:
            if group.is_led or group.subscription is None:
                return
            group.is_led = True
        try:
            if deadline.remaining_s:
                self._send_changes(group, group.subscription, deadline.capped(_UNSUBSCRIBE_TIMEOUT_S))
            else:
                self._disconnect(group)
        except RedisError:
            self._disconnect(group)
        finally:
            self._hand_over(group, None)

    def close(self) -> None:
        """Close the subscription, unless a thread reads it."""
        group = self._group()
        with group.lock:
            if not group.is_led:
                self._disconnect(group)

    def _group(self) -> _Group:
        if self._shared.pid != os.getpid():
            # The parent process still uses its socket, so it is dropped without closing it on the wire.
            self._shared = _Group()
        return self._shared

    def _soon(self, deadline: Deadline) -> Deadline:
        return deadline.capped(RECHECK_INTERVAL_S)

    def _last_check_of(self, deadline: Deadline) -> Deadline:
        return deadline.brought_forward(max(LAST_CHECK_S, LAST_CHECK_ROUND_TRIPS * self._round_trip_s))

    @staticmethod
    def _becomes_leader(group: _Group, wait: Wait) -> bool:
        with group.lock:
            if wait.finished or not group.is_led:
                is_first = not wait.finished
                group.is_led = group.is_led or is_first
                return is_first
            wait.woken.clear()
            if wait not in group.followers:
                group.followers.append(wait)
            return False

    @staticmethod
    def _hand_over(group: _Group, wait: Wait | None) -> None:
        """Leave the group, and wake another thread if nobody reads the subscription."""
        with group.lock:
            if wait is not None and wait in group.followers:
                group.followers.remove(wait)
            if wait is None:
                group.is_led = False
            if not group.is_led and group.followers:
                group.followers[0].woken.set()

    def _lead(self, group: _Group, wait: Wait, deadline: Deadline) -> None:
        try:
            retry_until(deadline, lambda: self._listen(group, wait, deadline))
        finally:
            with group.lock:
                group.is_led = False

    def _listen(self, group: _Group, wait: Wait, deadline: Deadline) -> None:
        """Read the subscription until the caller's own wait is over.

        Shortly before the deadline, the results are read once more: only a reply shows that the server is there.
        """
        had_no_pattern = group.expectations.refuses_pattern
        try:
            subscription = self._subscription(group, deadline)
            recheck, is_checked = Deadline.after(RECHECK_INTERVAL_S), False
            while True:
                self._send_changes(group, subscription, deadline)
                self._read_stored(group, deadline)
                until = deadline if is_checked else self._last_check_of(deadline)
                if not until.remaining_s and not wait.finished and not is_checked:
                    self._read(group, list(wait.pending), deadline)
                    is_checked, until = True, deadline
                if wait.finished or not deadline.remaining_s:
                    return
                if not recheck.remaining_s:
                    self._read_again(group, deadline)
                    recheck = Deadline.after(RECHECK_INTERVAL_S)
                until = until.capped(recheck.remaining_s)
                # A timeout here only means that nothing was published; the connection is still good.
                if subscription.can_read(timeout=until.remaining_s) and not self._take_pushes(
                    group, subscription, wait, deadline, may_be_late=is_checked
                ):
                    return
        except RedisError as error:
            self._disconnect(group)
            if isinstance(error, ACCESS_ERRORS) and group.expectations.refuses_pattern and not had_no_pattern:
                return  # and begin again without a pattern
            raise

    def _subscription(self, group: _Group, deadline: Deadline) -> AbstractConnection:
        if group.subscription is None:
            group.subscription = connection = self._connections.connect(deadline)
            with group.lock:
                commands = group.expectations.opening()
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            self._take_push(group, read_reply(connection, deadline))
        return group.subscription

    def _send_changes(self, group: _Group, subscription: AbstractConnection, deadline: Deadline) -> None:
        with group.lock:
            commands = group.expectations.changes()
        if commands:
            limit_blocking(subscription, deadline)
            subscription.send_packed_command(subscription.pack_commands(commands), check_health=False)

    def _take_pushes(
        self, group: _Group, subscription: AbstractConnection, wait: Wait, deadline: Deadline, *, may_be_late: bool
    ) -> bool:
        """Read what has arrived; what is behind the caller's own result is left to the next thread.

        Returns:
            False if the deadline cut off a push, after the server had shown that it is there.
        """
        while True:
            try:
                push = read_reply(subscription, deadline)
            except RedisTimeoutError:
                if not may_be_late:
                    raise
                self._disconnect(group)
                return False
            self._take_push(group, push)
            if wait.finished or not subscription.can_read(timeout=0):
                return True

    @staticmethod
    def _take_push(group: _Group, push: object) -> None:
        with group.lock:
            group.expectations.take_push(push)

    def _read_stored(self, group: _Group, deadline: Deadline) -> None:
        while True:
            with group.lock:
                ids = group.expectations.to_read()
            if not ids:
                return
            try:
                self._read(group, ids, deadline)
            except RedisError:
                with group.lock:
                    group.expectations.read_later(ids)
                raise

    def _read_again(self, group: _Group, deadline: Deadline) -> None:
        with group.lock:
            ids = group.expectations.to_read_again()
        if not ids or not self._read(group, ids, deadline):
            return
        if group.subscription is not None and not group.subscription.can_read(timeout=0):
            # Something was stored and not pushed: the subscription may have died without a sign.
            raise RedisTimeoutError("the subscription is silent")

    def _read(self, group: _Group, ids: list[str], deadline: Deadline) -> int:
        started_s = time.monotonic()
        (values,) = self._connections.execute([("MGET", *(KEY_PREFIX + i for i in ids))], deadline)
        self._round_trip_s = time.monotonic() - started_s
        with group.lock:
            return group.expectations.take_stored(ids, values)

    @staticmethod
    def _disconnect(group: _Group) -> None:
        subscription, group.subscription = group.subscription, None
        if subscription is not None:
            subscription.disconnect()
