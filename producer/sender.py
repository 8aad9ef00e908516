"""Enqueues requests and waits for their answers, each call within its deadline. The base of the client."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self

from redis.exceptions import RedisError, ResponseError

from producer import errors
from producer.connections import ACCESS_ERRORS, Deadline, RedisConnections
from producer.contract import QueueClass, Request, queue_name
from producer.contract.redis_url import server_url
from producer.durability import Durability
from producer.message import build_message
from producer.trace_headers import TraceHeaderSource, collect_trace_headers, sentry_trace_headers
from producer.waiter import ResultRecord, ResultWaiter

__all__ = ["DEFAULT_URL", "MAX_TIMEOUT_S", "Answer", "Sender"]

DEFAULT_URL = "redis://localhost:6379/0"
DEFAULT_TIMEOUT_S = 10.0
#: One week: longer than results are usually kept, and less than the 24 days that a socket timeout can hold.
MAX_TIMEOUT_S = 7 * 24 * 3600.0

#: The errors that a worker stores by class name.
_REQUEST_ERRORS: dict[str, type[errors.RequestError]] = {
    cls.__name__: cls for cls in (errors.InvalidRequest, errors.UnknownModel, errors.UnknownTask, errors.ModelFailed)
}


@dataclass(frozen=True)
class Answer:
    """The result of a request, and the model that produced it.

    Attributes:
        request_id: as :meth:`Sender.submit` returned it.
        result: in the shape that the contract defines for the task.
        model: name, revision and arithmetic of the model that answered; None if the worker did not say.
    """

    request_id: str
    result: Any
    model: dict[str, str] | None


class Sender:
    """Enqueues requests of any task and waits for their answers.

    Safe to share between threads, and usable after a fork. A call holds a connection only while it uses it; a few idle
    connections are kept for the next calls.

    Args:
        broker_url: the Redis or Valkey server from which the workers consume.
        result_backend_url: where the workers store results; the broker by default.
        timeout_s: default timeout of a call, in seconds. Every timeout must be more than 0 and at most a week.
        trace_headers: called for each request; returns the headers that continue the caller's trace (``traceparent``,
            ``tracestate``, ``baggage``, ``sentry-trace``). By default those of Sentry, if its SDK is initialized;
            pass ``dict`` to send none.

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
        trace_headers: TraceHeaderSource = sentry_trace_headers,
    ) -> None:
        broker = server_url("broker_url", broker_url)
        backend = server_url("result_backend_url", result_backend_url) if result_backend_url else broker
        self._broker = RedisConnections(broker.url)
        self._durability = Durability(self._broker)
        self._waiter = ResultWaiter(backend.url)
        self._timeout_s = _validate_timeout(timeout_s)
        self._trace_headers = trace_headers

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
            request_id: an id of your own. Two requests with the same id overwrite each other's result.
            timeout_s: how long enqueueing may take, in seconds; None for the client's default.
            durable: return only once the broker has the request on its disk. It needs ``appendonly yes`` and Redis 7.2
                or later, or Valkey, and takes up to a second with ``appendfsync everysec``.

        Raises:
            InvalidRequest: the request is too large as JSON.
            NotDurable: the broker cannot confirm that the request is on disk, or did not in time.
            BrokerUnavailable: the broker did not confirm in time, or refused the credentials.
        """
        deadline, request_id = self._deadline(timeout_s), request_id or str(uuid.uuid4())
        return self._enqueue(request, queue_class, request_id, expires_s, deadline, durable=durable)

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
        return self._wait_until(request_id, self._deadline(timeout_s))

    def map(
        self,
        requests: Iterable[Request],
        *,
        queue_class: QueueClass = QueueClass.BULK,
        in_flight: int = 32,
        timeout_s: float | None = None,
    ) -> Iterator[Answer | errors.CeleriacError]:
        """Send many requests, several at a time, and yield their answers in the order of the requests.

        Args:
            requests: consumed one by one as answers arrive.
            queue_class: interactive requests are served before bulk requests.
            in_flight: the maximum number of requests that are sent and not yet answered.
            timeout_s: how long to wait for each answer once it is the next in order, in seconds; None for the
                client's default.

        Yields:
            The answer to each request, or the error that it ended with. A failed request does not stop the others.

        Raises:
            BrokerUnavailable: a request could not be enqueued.
        """
        pending: deque[str | errors.CeleriacError] = deque()
        for request in requests:
            pending.append(self._try_submit(request, queue_class, timeout_s))
            if len(pending) >= in_flight:
                yield self._try_wait(pending.popleft(), timeout_s)
        while pending:
            yield self._try_wait(pending.popleft(), timeout_s)

    def close(self) -> None:
        """Close the connections. The client can still be used afterwards."""
        self._broker.close()
        self._waiter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _deadline(self, timeout_s: float | None) -> Deadline:
        return Deadline.after(self._timeout_s if timeout_s is None else _validate_timeout(timeout_s))

    def _enqueue(
        self,
        request: Request,
        queue_class: QueueClass,
        request_id: str,
        expires_s: float | None,
        deadline: Deadline,
        *,
        durable: bool = False,
    ) -> str:
        queue = queue_name(request.task, queue_class)
        message = build_message(
            request,
            request_id=request_id,
            queue=queue,
            expires_s=expires_s,
            trace_headers=collect_trace_headers(self._trace_headers),
        )
        try:
            if durable:
                confirmation = self._durability.confirmation(deadline)
                _, reply = self._broker.execute([("LPUSH", queue, message), confirmation], deadline)
                self._durability.check(reply)
            else:
                self._broker.execute([("LPUSH", queue, message)], deadline)
        except RedisError as error:
            if durable and isinstance(error, ResponseError):
                self._durability.explain(error)
            raise errors.BrokerUnavailable(_explain(error, "the broker", "did not accept the request")) from error
        return request_id

    def _try_submit(
        self, request: Request, queue_class: QueueClass, timeout_s: float | None
    ) -> str | errors.CeleriacError:
        try:
            return self.submit(request, queue_class=queue_class, timeout_s=timeout_s)
        except errors.InvalidRequest as error:
            return error

    def _try_wait(
        self, submitted: str | errors.CeleriacError, timeout_s: float | None
    ) -> Answer | errors.CeleriacError:
        if isinstance(submitted, errors.CeleriacError):
            return submitted
        try:
            return self.wait(submitted, timeout_s=timeout_s)
        except errors.CeleriacError as error:
            return error

    def _submit_and_wait(self, request: Request, deadline: Deadline) -> Any:
        """Send a request and return its result. It expires at the deadline: nobody reads a later answer."""
        request_id = self._enqueue(request, QueueClass.INTERACTIVE, str(uuid.uuid4()), deadline.remaining_s, deadline)
        return self._wait_until(request_id, deadline).result

    def _wait_until(self, request_id: str, deadline: Deadline) -> Answer:
        try:
            records = self._waiter.wait([request_id], deadline)
        except RedisError as error:
            raise errors.ResultBackendUnavailable(_explain(error, "the result backend", "did not reply")) from error
        if request_id not in records:
            raise errors.WaitTimeout(f"request {request_id} was not answered in time; it may still be answered later")
        record = records[request_id]
        if record["status"] != "SUCCESS":
            _raise_failure(record)
        return Answer(request_id, record["result"], record.get("model"))


def _validate_timeout(timeout_s: float) -> float:
    # NaN fails this comparison too.
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise ValueError(f"timeout_s must be more than 0 and at most {MAX_TIMEOUT_S:g} seconds, not {timeout_s!r}")
    return timeout_s


def _explain(error: RedisError, server: str, failure: str) -> str:
    return f"{server} {'refused the credentials' if isinstance(error, ACCESS_ERRORS) else failure}: {error}"


def _raise_failure(record: ResultRecord) -> NoReturn:
    failure = record["result"]
    name, arguments = failure["exc_type"], failure["exc_message"]
    if record["status"] == "REVOKED":
        if "expired" in arguments:
            raise errors.DeadlineExceeded("the request expired before a worker started it")
        raise errors.RequestRevoked(f"the request was revoked: {arguments}")
    if name in _REQUEST_ERRORS:
        raise _REQUEST_ERRORS[name](*arguments)
    text = " ".join(map(str, arguments)) if isinstance(arguments, list) else str(arguments)
    raise errors.RemoteFailure(name, text)
