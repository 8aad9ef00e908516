"""Enqueues requests and waits for their answers in event loops. The base of the asyncio client."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

from redis.exceptions import RedisError, ResponseError

from producer import errors
from producer.async_connections import Commands, connector_to
from producer.async_map import AsyncMap
from producer.async_waiter import AsyncResultWaiter
from producer.chunks import ChunkedMap, Progress
from producer.connections import Command, Deadline
from producer.contract import QueueClass, Request
from producer.contract.redis_url import RedisUrl
from producer.control import notice_command
from producer.durability import Durability
from producer.expectations import Expectation
from producer.handles import AsyncRequestHandle
from producer.message import MessageBuilder, Submission
from producer.message_log import MessageLog
from producer.once import cancel_command
from producer.options import DEFAULT_CHUNK_S, DEFAULT_IN_FLIGHT, DEFAULT_TIMEOUT_S, DEFAULT_URL, check_timeout, servers
from producer.outcomes import (
    KEY_PREFIX,
    Answer,
    RequestStatus,
    answer_of,
    broker_unavailable,
    late,
    results_unavailable,
    status_of,
)
from producer.sending_span import sending_span
from producer.trace_headers import TraceHeaderSource, current_trace_headers

__all__ = ["AsyncSender"]

#: How long a request whose caller is gone may take to be cancelled; nobody waits for this.
_CANCEL_S = 5.0
#: What one event loop has at most: commands, durable commands and subscription.
MAX_CONNECTIONS = 3


class _Loop:
    """The connections of one event loop."""

    def __init__(self, broker: RedisUrl, backend: RedisUrl) -> None:
        self.broker = Commands(connector_to(broker))
        self.backend = self.broker if backend.url == broker.url else Commands(connector_to(backend))
        #: Waiting for a disk must not hold up other commands.
        self.slow = Commands(connector_to(broker))
        self.durability = Durability()
        self.waiter = AsyncResultWaiter(connector_to(backend), self.backend)
        self._keeper = asyncio.get_running_loop().create_task(self._close_at_end())

    async def close(self) -> None:
        """Close the connections."""
        self._keeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeper

    async def _close_at_end(self) -> None:
        """Wait until the event loop cancels its tasks, or :meth:`close` this one."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.waiter.close()
            for commands in (self.broker, self.backend, self.slow):
                await commands.close()


class AsyncSender:
    """Enqueues requests of any task and waits for their answers.

    Safe in several event loops, also at once in several threads, and usable after a fork. However many requests are in
    flight, an event loop has two connections to the broker: one for commands, which go out together, and one that gets
    all results. With a result backend of its own, that one has two, and the broker one. ``durable`` takes one more.

    Args:
        broker_url: the Redis or Valkey server from which the workers consume.
        result_backend_url: where the workers store results; the broker by default.
        timeout_s: default timeout of a call, in seconds. Every timeout must be more than 0 and at most a week.
        trace_headers: called for each request; returns the headers that continue the caller's trace (``traceparent``,
            ``tracestate``, ``baggage``, ``sentry-trace``). By default those of Sentry and OpenTelemetry, of what is set
            up; pass ``dict`` to send none.

    Raises:
        InvalidRedisUrl: a URL cannot be used. This is a ValueError too; its message repeats no part of the URL.
        ValueError: a timeout, here or in a call, is out of range.
    """

    def __init__(
        self,
        broker_url: str = DEFAULT_URL,
        result_backend_url: str | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        trace_headers: TraceHeaderSource = current_trace_headers,
    ) -> None:
        self._broker, self._backend = servers(broker_url, result_backend_url)
        self._timeout_s = check_timeout(timeout_s)
        self._messages = MessageBuilder(trace_headers, has_one_server=self._broker.url == self._backend.url)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    async def submit(
        self,
        request: Request,
        *,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        durable: bool = False,
    ) -> str:
        """Enqueue a request and return its id, for :meth:`wait`; as :meth:`producer.client.Client.submit`.

        Args:
            request: for example ``TextClassificationRequest(inputs="…")``.
            queue_class: interactive requests are served before bulk requests.
            expires_s: seconds from now after which no worker may start the request; None for no limit.
            request_id: an id of your own. Sent again, by anyone, it is computed once and has one result, that of what
                was sent first. After it has expired or was cancelled, it may be sent again and is computed.
            timeout_s: how long enqueueing may take, in seconds; None for the client's default.
            durable: return only once the broker has the request on its disk. It needs ``appendonly yes`` and Redis 7.2
                or later, or Valkey, and takes up to a second with ``appendfsync everysec``.

        Raises:
            InvalidRequest: the request is too large as JSON.
            NotDurable: the broker cannot confirm that the request is on disk, or did not in time.
            BrokerUnavailable: the broker did not confirm in time, or refused the credentials.
            ResultBackendUnavailable: another server is the result backend, and did not take the ``request_id`` in time.
        """
        deadline, loop = self._deadline(timeout_s), self._loop()
        own_id = request_id or loop.waiter.expectations.new_id()
        await self._enqueue(loop, Submission(request, queue_class, expires_s, request_id, durable), own_id, deadline)
        return own_id

    async def wait(self, request_id: str, *, timeout_s: float | None = None) -> Answer:
        """Wait for the answer to a submitted request. The answer can be read again until the result expires.

        Args:
            request_id: as :meth:`submit` returned it.
            timeout_s: how long to wait, in seconds; None for the client's default.

        Raises:
            RequestError: the worker refused the request, or the model failed on it.
            DeadlineExceeded, RequestRevoked, RemoteFailure: the request ended without an answer.
            WaitTimeout: the request did not finish in time.
            ResultBackendUnavailable: the result backend did not reply in time, or refused the credentials.
        """
        deadline, loop = self._deadline(timeout_s), self._loop()
        expectation = loop.waiter.expect(request_id, is_sent=True)
        return await self._collect(loop, expectation, deadline)

    def handle(self, request_id: str) -> AsyncRequestHandle[Any]:
        """A handle of a request that was submitted before, here or elsewhere."""
        return AsyncRequestHandle(self, request_id)

    async def status(self, request_id: str, *, timeout_s: float | None = None) -> RequestStatus:
        """How far a request has come.

        Args:
            request_id: as :meth:`submit` returned it.
            timeout_s: how long to wait for the reply, in seconds; None for the client's default.

        Raises:
            ResultBackendUnavailable: the result backend did not reply in time, or refused the credentials.
        """
        deadline = self._deadline(timeout_s)
        try:
            (value,) = await self._loop().backend.execute([("GET", KEY_PREFIX + request_id)], deadline)
        except RedisError as error:
            raise results_unavailable(error) from error
        return status_of(value)

    async def cancel(self, request_id: str, *, timeout_s: float | None = None) -> None:
        """Have a request dropped, unless a worker has started it; as :meth:`producer.client.Client.cancel`.

        Args:
            request_id: as :meth:`submit` returned it.
            timeout_s: how long telling the workers may take, in seconds; None for the client's default.

        Raises:
            BrokerUnavailable: the broker did not reply in time, or refused the credentials.
            ResultBackendUnavailable: so did the result backend, which is another server.
        """
        deadline, loop = self._deadline(timeout_s), self._loop()
        commands = [cancel_command(request_id), self._notice(request_id)]
        if loop.backend is not loop.broker:
            try:
                await loop.backend.execute([commands.pop(0)], deadline)
            except RedisError as error:
                raise results_unavailable(error) from error
        try:
            await loop.broker.execute(commands, deadline)
        except RedisError as error:
            raise broker_unavailable(error) from error

    async def map(
        self,
        requests: Iterable[Request] | AsyncIterable[Request],
        *,
        queue_class: QueueClass = QueueClass.BULK,
        in_flight: int = DEFAULT_IN_FLIGHT,
        timeout_s: float | None = None,
        chunk_s: float | None = DEFAULT_CHUNK_S,
        retries: int = 0,
        on_progress: Progress | None = None,
        log: MessageLog | None = None,
    ) -> AsyncIterator[Answer | errors.CeleriacError]:
        """Send many requests, several at a time, and yield their answers in the order of the requests.

        As :meth:`producer.client.Client.map`; an ``async for`` over the requests may be slow, and what it has given is
        sent meanwhile.

        Args:
            requests: consumed one by one as answers arrive.
            queue_class: interactive requests are served before bulk requests.
            in_flight: the maximum number of messages that are sent and not yet answered.
            timeout_s: how long to wait for each answer once it is the next in order, in seconds; None for the
                client's default.
            chunk_s: how long a worker should compute for one message, in seconds; None sends each request by itself.
            retries: how often a request is sent again after a worker failed on it (``RemoteFailure``).
            on_progress: called with the number of requests that are done, each time that it has grown.
            log: names the messages, and knows those of an earlier run: their results are waited for, and only what does
                not come within ``timeout_s`` is sent again. None for ids of the client's own.

        Yields:
            The answer to each request, or the error that it ended with. A failed request does not stop the others: what
            shared a message with it is sent again without it.

        Raises:
            BrokerUnavailable: a request could not be enqueued.
        """
        plan = ChunkedMap(
            in_flight=in_flight, chunk_s=chunk_s, in_order=True, retries=retries, on_progress=on_progress, log=log
        )
        async for _, outcome in self._map(plan, requests, queue_class, timeout_s).run():
            yield outcome

    async def map_as_completed(
        self,
        requests: Iterable[Request] | AsyncIterable[Request],
        *,
        queue_class: QueueClass = QueueClass.BULK,
        in_flight: int = DEFAULT_IN_FLIGHT,
        timeout_s: float | None = None,
        chunk_s: float | None = DEFAULT_CHUNK_S,
        retries: int = 0,
        on_progress: Progress | None = None,
    ) -> AsyncIterator[tuple[int, Answer | errors.CeleriacError]]:
        """As :meth:`map`, but yield each answer as it comes, with the number of its request, from 0.

        Args:
            requests: consumed one by one as answers arrive.
            queue_class: interactive requests are served before bulk requests.
            in_flight: the maximum number of messages that are sent and not yet answered.
            timeout_s: how long to wait for the oldest message, in seconds; None for the client's default.
            chunk_s: how long a worker should compute for one message, in seconds; None sends each request by itself.
            retries: how often a request is sent again after a worker failed on it (``RemoteFailure``).
            on_progress: called with the number of requests that are done, each time that it has grown.

        Raises:
            BrokerUnavailable: a request could not be enqueued.
        """
        plan = ChunkedMap(
            in_flight=in_flight, chunk_s=chunk_s, in_order=False, retries=retries, on_progress=on_progress
        )
        async for numbered in self._map(plan, requests, queue_class, timeout_s).run():
            yield numbered

    async def close(self) -> None:
        """Close this event loop's connections. The client can still be used afterwards."""
        with self._lock:
            loop = self._loops.pop(asyncio.get_running_loop(), None)
        if loop is not None:
            await loop.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _loop(self) -> _Loop:
        """What belongs to the running event loop."""
        running = asyncio.get_running_loop()
        if self._pid != os.getpid():
            # The parent process still uses these sockets, so they are dropped without closing them on the wire.
            self._loops, self._lock, self._pid = WeakKeyDictionary(), threading.Lock(), os.getpid()
        with self._lock:
            loop = self._loops.get(running)
            if loop is None:
                loop = self._loops[running] = _Loop(self._broker, self._backend)
            return loop

    def _deadline(self, timeout_s: float | None) -> Deadline:
        return Deadline.after(self._timeout_s if timeout_s is None else check_timeout(timeout_s))

    def _notice(self, request_id: str) -> Command:
        return notice_command(request_id, db=self._broker.db)

    async def _enqueue(self, loop: _Loop, submission: Submission, request_id: str, deadline: Deadline) -> None:
        with sending_span(submission, request_id):
            await self._publish(loop, submission, request_id, deadline)

    async def _publish(self, loop: _Loop, submission: Submission, request_id: str, deadline: Deadline) -> None:
        publication = self._messages.publication(submission, request_id)
        publish = publication.publish
        try:
            if publication.mark:
                (reply,) = await loop.backend.execute([publication.mark], deadline)
                if not publication.is_wanted(reply):
                    return
        except RedisError as error:
            raise results_unavailable(error) from error
        try:
            if submission.durable:
                for probe in loop.durability.probes():
                    try:
                        await loop.slow.execute([probe], deadline)
                    except ResponseError as error:
                        raise loop.durability.refusal(error) from error
                _, reply = await loop.slow.execute([publish, loop.durability.confirmation(deadline)], deadline)
                loop.durability.check(reply)
            else:
                await loop.broker.execute([publish], deadline)
        except RedisError as error:
            if submission.durable and isinstance(error, ResponseError):
                loop.durability.explain(error)
            raise broker_unavailable(error) from error
        if publication.confirm:
            with suppress(RedisError):
                await loop.backend.execute([publication.confirm], deadline)

    def _map(
        self,
        plan: ChunkedMap,
        requests: Iterable[Request] | AsyncIterable[Request],
        queue_class: QueueClass,
        timeout_s: float | None,
    ) -> AsyncMap:
        loop = self._loop()

        async def enqueue(request: Request, request_id: str, deadline: Deadline) -> None:
            await self._enqueue(loop, Submission(request, queue_class), request_id, deadline)

        return AsyncMap(plan, requests, loop.waiter, enqueue, lambda: self._deadline(timeout_s))

    async def _submit_and_wait(self, request: Request, deadline: Deadline) -> Any:
        """Send a request and return its result. It expires at the deadline: nobody reads a later answer.

        If the caller is cancelled, the request is too.
        """
        loop = self._loop()
        expectation = loop.waiter.expect(loop.waiter.expectations.new_id(), is_sent=False)
        try:
            submission = Submission(request, expires_s=deadline.remaining_s)
            await self._enqueue(loop, submission, expectation.request_id, deadline)
            return (await self._collect(loop, expectation, deadline)).result
        except asyncio.CancelledError:
            loop.backend.send(cancel_command(expectation.request_id), Deadline.after(_CANCEL_S))
            loop.broker.send(self._notice(expectation.request_id), Deadline.after(_CANCEL_S))
            raise

    async def _submit_for_handle(self, submission: Submission, timeout_s: float | None) -> AsyncRequestHandle[Any]:
        deadline, loop = self._deadline(timeout_s), self._loop()
        if submission.request_id is not None:
            # First sent, then read: what is stored before may be the end of an earlier request.
            await self._enqueue(loop, submission, submission.request_id, deadline)
            expectation = loop.waiter.expect(submission.request_id, is_sent=True)
        else:
            expectation = loop.waiter.expect(loop.waiter.expectations.new_id(), is_sent=False)
            await self._enqueue(loop, submission, expectation.request_id, deadline)
        return AsyncRequestHandle(self, expectation.request_id, expectation)

    async def _collect(self, loop: _Loop, expectation: Expectation, deadline: Deadline) -> Answer:
        try:
            await loop.waiter.wait(expectation, deadline)
        except RedisError as error:
            raise results_unavailable(error) from error
        finally:
            loop.waiter.release(expectation)
        if expectation.record is None:
            raise late(expectation.request_id)
        return answer_of(expectation.request_id, expectation.record)
