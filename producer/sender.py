"""Enqueues requests and waits for their answers, each call within its deadline. The base of the client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from redis.exceptions import RedisError, ResponseError

from producer import errors
from producer.chunks import ChunkedMap, Progress
from producer.connections import Deadline, RedisConnections
from producer.contract import QueueClass, Request
from producer.control import notice_command
from producer.durability import Durability
from producer.expectations import Expectation
from producer.handles import RequestHandle
from producer.message import MessageBuilder, Submission
from producer.message_log import MessageLog
from producer.once import cancel_command
from producer.options import (
    DEFAULT_CHUNK_S,
    DEFAULT_IN_FLIGHT,
    DEFAULT_MAX_CONNECTIONS,
    DEFAULT_TIMEOUT_S,
    DEFAULT_URL,
    MAX_TIMEOUT_S,
    check_connections,
    check_timeout,
    servers,
)
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
from producer.sync_map import SyncMap
from producer.trace_headers import TraceHeaderSource, current_trace_headers
from producer.waiter import ResultWaiter, Wait

__all__ = ["DEFAULT_URL", "MAX_TIMEOUT_S", "Answer", "Sender"]


class Sender:
    """Enqueues requests of any task and waits for their answers.

    Safe to share between threads, and usable after a fork. A call holds a connection only while it uses it; a few idle
    connections are kept for the next calls. One more connection, once somebody waits, gets all results.

    Args:
        broker_url: the Redis or Valkey server from which the workers consume.
        result_backend_url: where the workers store results; the broker by default.
        timeout_s: default timeout of a call, in seconds. Every timeout must be more than 0 and at most a week.
        trace_headers: called for each request; returns the headers that continue the caller's trace (``traceparent``,
            ``tracestate``, ``baggage``, ``sentry-trace``). By default those of Sentry and OpenTelemetry, of what is set
            up; pass ``dict`` to send none.
        max_connections: how many connections to one server there may be at most, at least 2. A call for which none is
            free waits for one, within its timeout.

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
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
    ) -> None:
        broker, backend = servers(broker_url, result_backend_url)
        check_connections(max_connections)
        # One connection is that of the subscription.
        self._broker = RedisConnections(broker.url, max_connections - 1)
        self._backend = (
            self._broker if backend.url == broker.url else RedisConnections(backend.url, max_connections - 1)
        )
        self._db = broker.db
        self._durability = Durability()
        self._waiter = ResultWaiter(self._backend)
        self._timeout_s = check_timeout(timeout_s)
        self._messages = MessageBuilder(trace_headers, has_one_server=self._backend is self._broker)

    def submit(
        self,
        request: Request,
        *,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        durable: bool = False,
    ) -> str:
        """Enqueue a request and return its id, for :meth:`wait`.

        What the broker still has after a crash depends on its settings; see *What an accepted request means* in
        ``docs/operations.md``.

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
        deadline, own_id = self._deadline(timeout_s), request_id or self._waiter.new_id()
        self._enqueue(Submission(request, queue_class, expires_s, request_id, durable), own_id, deadline)
        return own_id

    def wait(self, request_id: str, *, timeout_s: float | None = None) -> Answer:
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
        deadline = self._deadline(timeout_s)
        wait = Wait()
        return self._collect(self._waiter.expect(request_id, wait, is_sent=True), wait, deadline)

    def handle(self, request_id: str) -> RequestHandle[Any]:
        """A handle of a request that was submitted before, here or elsewhere."""
        return RequestHandle(self, request_id)

    def status(self, request_id: str, *, timeout_s: float | None = None) -> RequestStatus:
        """How far a request has come.

        Args:
            request_id: as :meth:`submit` returned it.
            timeout_s: how long to wait for the reply, in seconds; None for the client's default.

        Raises:
            ResultBackendUnavailable: the result backend did not reply in time, or refused the credentials.
        """
        try:
            (value,) = self._backend.execute([("GET", KEY_PREFIX + request_id)], self._deadline(timeout_s))
        except RedisError as error:
            raise results_unavailable(error) from error
        return status_of(value)

    def cancel(self, request_id: str, *, timeout_s: float | None = None) -> None:
        """Have a request dropped, unless a worker has started it. Whoever waits for it gets ``RequestRevoked``.

        The workers that run are told, and those that are started in the next three hours find out. Sending the same id
        again ends that.

        Args:
            request_id: as :meth:`submit` returned it.
            timeout_s: how long telling them may take, in seconds; None for the client's default.

        Raises:
            BrokerUnavailable: the broker did not reply in time, or refused the credentials.
            ResultBackendUnavailable: so did the result backend, which is another server.
        """
        deadline = self._deadline(timeout_s)
        commands = [cancel_command(request_id), notice_command(request_id, db=self._db)]
        if self._backend is not self._broker:
            try:
                self._backend.execute([commands.pop(0)], deadline)
            except RedisError as error:
                raise results_unavailable(error) from error
        try:
            self._broker.execute(commands, deadline)
        except RedisError as error:
            raise broker_unavailable(error) from error

    def map(
        self,
        requests: Iterable[Request],
        *,
        queue_class: QueueClass = QueueClass.BULK,
        in_flight: int = DEFAULT_IN_FLIGHT,
        timeout_s: float | None = None,
        chunk_s: float | None = DEFAULT_CHUNK_S,
        retries: int = 0,
        on_progress: Progress | None = None,
        log: MessageLog | None = None,
    ) -> Iterator[Answer | errors.CeleriacError]:
        """Send many requests, several at a time, and yield their answers in the order of the requests.

        Neighbours that differ in nothing but their input are sent as one message, which costs a worker about
        ``chunk_s`` of computation. How many that are is learned from the answers, beginning with one.

        Args:
            requests: consumed one by one as answers arrive.
            queue_class: interactive requests are served before bulk requests.
            in_flight: the maximum number of messages that are sent and not yet answered.
            timeout_s: how long to wait for each answer once it is the next in order, in seconds; None for the
                client's default.
            chunk_s: how long a worker should compute for one message, in seconds; None sends each request by itself,
                and at once: a request must otherwise wait until ``requests`` gives the next one.
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
        for _, outcome in self._map(plan, queue_class, timeout_s).run(requests):
            yield outcome

    def map_as_completed(
        self,
        requests: Iterable[Request],
        *,
        queue_class: QueueClass = QueueClass.BULK,
        in_flight: int = DEFAULT_IN_FLIGHT,
        timeout_s: float | None = None,
        chunk_s: float | None = DEFAULT_CHUNK_S,
        retries: int = 0,
        on_progress: Progress | None = None,
    ) -> Iterator[tuple[int, Answer | errors.CeleriacError]]:
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
        yield from self._map(plan, queue_class, timeout_s).run(requests)

    def close(self) -> None:
        """Close the connections. The client can still be used afterwards."""
        self._waiter.close()
        self._broker.close()
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _deadline(self, timeout_s: float | None) -> Deadline:
        return Deadline.after(self._timeout_s if timeout_s is None else check_timeout(timeout_s))

    def _enqueue(self, submission: Submission, request_id: str, deadline: Deadline) -> None:
        with sending_span(submission, request_id):
            self._publish(submission, request_id, deadline)

    def _publish(self, submission: Submission, request_id: str, deadline: Deadline) -> None:
        publication = self._messages.publication(submission, request_id)
        publish = publication.publish
        try:
            if publication.mark:
                (reply,) = self._backend.execute([publication.mark], deadline)
                if not publication.is_wanted(reply):
                    return
        except RedisError as error:
            raise results_unavailable(error) from error
        try:
            if submission.durable:
                for probe in self._durability.probes():
                    try:
                        self._broker.execute([probe], deadline)
                    except ResponseError as error:
                        raise self._durability.refusal(error) from error
                _, reply = self._broker.execute([publish, self._durability.confirmation(deadline)], deadline)
                self._durability.check(reply)
            else:
                self._broker.execute([publish], deadline)
        except RedisError as error:
            if submission.durable and isinstance(error, ResponseError):
                self._durability.explain(error)
            raise broker_unavailable(error) from error
        if publication.confirm:
            with suppress(RedisError):
                self._backend.execute([publication.confirm], deadline)

    def _submit_and_wait(self, request: Request, deadline: Deadline) -> Any:
        """Send a request and return its result. It expires at the deadline: nobody reads a later answer."""
        wait = Wait()
        expectation = self._send(Submission(request, expires_s=deadline.remaining_s), wait, deadline)
        return self._collect(expectation, wait, deadline).result

    def _submit_for_handle(self, submission: Submission, timeout_s: float | None) -> RequestHandle[Any]:
        expectation = self._send(submission, None, self._deadline(timeout_s))
        return RequestHandle(self, expectation.request_id, expectation)

    def _map(self, plan: ChunkedMap, queue_class: QueueClass, timeout_s: float | None) -> SyncMap:
        def send(request: Request, wait: Wait, request_id: str | None) -> Expectation:
            submission = Submission(request, queue_class, request_id=request_id)
            return self._send(submission, wait, self._deadline(timeout_s))

        return SyncMap(plan, self._waiter, send, lambda: self._deadline(timeout_s))

    def _send(self, submission: Submission, wait: Wait | None, deadline: Deadline) -> Expectation:
        """Expect a result and enqueue its request, in this order, so that the result is pushed to us.

        For a caller's own id it is the other order, since what is stored may be the end of an earlier request.
        """
        if submission.request_id is not None:
            self._enqueue(submission, submission.request_id, deadline)
            return self._waiter.expect(submission.request_id, wait, is_sent=True)
        request_id = self._waiter.new_id()
        expectation = self._waiter.expect(request_id, wait, is_sent=False)
        try:
            self._enqueue(submission, request_id, deadline)
        except BaseException:
            self._waiter.release(expectation, wait)
            raise
        return expectation

    def _collect(self, expectation: Expectation, wait: Wait, deadline: Deadline) -> Answer:
        try:
            self._waiter.wait_for_any(wait, deadline)
        except RedisError as error:
            raise results_unavailable(error) from error
        finally:
            self._waiter.release(expectation, wait)
            self._waiter.tidy(deadline)
        if expectation.record is None:
            raise late(expectation.request_id)
        return answer_of(expectation.request_id, expectation.record)
