"""What all of the client's calls rest on: enqueue a request, wait for its answer, each until a deadline."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self

from redis.exceptions import RedisError

from producer import errors
from producer.connections import REFUSALS, Deadline, RedisLink
from producer.contract import QueueClass, Request, queue_name
from producer.contract.redis_url import server_url
from producer.message import envelope
from producer.trace_headers import TraceHeaders, collect, from_sentry
from producer.waiter import ResultReader

__all__ = ["DEFAULT_URL", "Answer", "Sender"]

DEFAULT_URL = "redis://localhost:6379/0"
DEFAULT_TIMEOUT_S = 10.0
#: A week: more than a result is kept for, and less than what a socket's time-out can hold (24 days).
LONGEST_TIMEOUT_S = 7 * 24 * 3600.0

#: The classes that a worker's stored failure may name, by that name.
_REQUEST_ERRORS: dict[str, type[errors.RequestError]] = {
    cls.__name__: cls for cls in (errors.InvalidRequest, errors.UnknownModel, errors.UnknownTask, errors.ModelFailed)
}


@dataclass(frozen=True)
class Answer:
    """A result, and which model gave it."""

    request_id: str
    #: As the contract has it for the task.
    result: Any
    #: Name and revision of the model that answered; None when the worker did not say.
    model: dict[str, str] | None


class Sender:
    """Enqueues requests and waits for their answers.

    Safe to share between threads, and usable after a fork. It holds connections only while it uses them, plus the
    few that it last used.

    Args:
        broker_url: the Redis or Valkey server that the workers consume from.
        result_backend_url: where the workers store results; the broker by default.
        timeout_s: seconds that a call may take when it names no time-out of its own; each time-out is more than 0
            and at most a week.
        trace_headers: gives the headers that continue the caller's trace (``traceparent``, ``tracestate``, ``baggage``,
            ``sentry-trace``) and is called for each request. By default those of Sentry where its SDK is set up;
            ``dict`` for none.

    Raises:
        InvalidRedisUrl: a URL that cannot be used; it is a ValueError too, and repeats no part of the URL.
        ValueError: a time-out, here or in a call, that cannot be used.
    """

    def __init__(
        self,
        broker_url: str = DEFAULT_URL,
        result_backend_url: str | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        trace_headers: TraceHeaders = from_sentry,
    ) -> None:
        broker = server_url("broker_url", broker_url)
        results = server_url("result_backend_url", result_backend_url) if result_backend_url else broker
        self._broker = RedisLink(broker.url)
        self._results = ResultReader(results.url)
        self._timeout_s = _checked(timeout_s)
        self._trace_headers = trace_headers

    def submit(
        self,
        request: Request,
        *,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> str:
        """Enqueue a request and return its id, for :meth:`wait`.

        Args:
            request: such as ``TextClassificationRequest(inputs="…")``.
            queue_class: interactive requests are served before bulk ones.
            expires_s: seconds after which no worker shall begin it; None for never.
            request_id: an id of the caller's; submitting twice under one id overwrites one result.
            timeout_s: seconds that enqueueing may take.

        Raises:
            InvalidRequest: the request is too large as JSON.
            BrokerUnavailable: the broker did not confirm in time, or refused the credentials.
        """
        deadline = self._deadline(timeout_s)
        return self._enqueue(request, queue_class, request_id or str(uuid.uuid4()), expires_s, deadline)

    def wait(self, request_id: str, *, timeout_s: float | None = None) -> Answer:
        """Wait for the answer to a submitted request; it may be asked for again until the result expires.

        Raises:
            RequestError: the worker refused the request.
            DeadlineExceeded, RequestRevoked, RemoteFailure: it ended without an answer.
            WaitTimeout: it has not ended in time.
            ResultBackendUnavailable: the result backend could not be asked in time, or refused the credentials.
        """
        return self._await(request_id, self._deadline(timeout_s))

    def map(
        self,
        requests: Iterable[Request],
        *,
        queue_class: QueueClass = QueueClass.BULK,
        in_flight: int = 32,
        timeout_s: float | None = None,
    ) -> Iterator[Answer | errors.CeleriacError]:
        """Send many requests, some of them at a time, and give the answers in the order of the requests.

        Args:
            requests: taken one by one as answers come.
            queue_class: interactive requests are served before bulk ones.
            in_flight: how many are sent and not answered at most.
            timeout_s: seconds that each answer may take from when it is the next to come.

        Yields:
            The answer to each request, or the error that it ended with: one that fails does not stop the others.

        Raises:
            BrokerUnavailable: a request could not be enqueued.
        """
        sent: deque[str | errors.CeleriacError] = deque()
        for request in requests:
            sent.append(self._try_submit(request, queue_class, timeout_s))
            if len(sent) >= in_flight:
                yield self._try_wait(sent.popleft(), timeout_s)
        while sent:
            yield self._try_wait(sent.popleft(), timeout_s)

    def close(self) -> None:
        """Close the connections; the client may still be used afterwards."""
        self._broker.close()
        self._results.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _deadline(self, timeout_s: float | None) -> Deadline:
        return Deadline.after(self._timeout_s if timeout_s is None else _checked(timeout_s))

    def _enqueue(
        self, request: Request, queue_class: QueueClass, request_id: str, expires_s: float | None, deadline: Deadline
    ) -> str:
        queue = queue_name(request.task, queue_class)
        trace = collect(self._trace_headers)
        message = envelope(request, request_id=request_id, queue=queue, expires_s=expires_s, trace_headers=trace)
        try:
            self._broker.execute([("LPUSH", queue, message)], deadline)
        except RedisError as error:
            raise errors.BrokerUnavailable(_explain(error, "the broker", "did not take the request")) from error
        return request_id

    def _try_submit(
        self, request: Request, queue_class: QueueClass, timeout_s: float | None
    ) -> str | errors.CeleriacError:
        try:
            return self.submit(request, queue_class=queue_class, timeout_s=timeout_s)
        except errors.InvalidRequest as error:
            return error

    def _try_wait(self, sent: str | errors.CeleriacError, timeout_s: float | None) -> Answer | errors.CeleriacError:
        if isinstance(sent, errors.CeleriacError):
            return sent
        try:
            return self.wait(sent, timeout_s=timeout_s)
        except errors.CeleriacError as error:
            return error

    def _ask(self, request: Request, deadline: Deadline) -> Any:
        """Send and wait; no worker shall begin what nobody waits for any more."""
        request_id = self._enqueue(request, QueueClass.INTERACTIVE, str(uuid.uuid4()), deadline.left_s, deadline)
        return self._await(request_id, deadline).result

    def _await(self, request_id: str, deadline: Deadline) -> Answer:
        try:
            records = self._results.wait([request_id], deadline)
        except RedisError as error:
            raise errors.ResultBackendUnavailable(_explain(error, "the result backend", "did not answer")) from error
        if request_id not in records:
            raise errors.WaitTimeout(f"no answer to request {request_id} in time; it may still come")
        record = records[request_id]
        if record["status"] != "SUCCESS":
            _raise_failure(record)
        return Answer(request_id, record["result"], record.get("model"))


def _checked(timeout_s: float) -> float:
    # What is not a number compares as False too.
    if not 0 < timeout_s <= LONGEST_TIMEOUT_S:
        raise ValueError(f"timeout_s must be more than 0 and at most {LONGEST_TIMEOUT_S:g} seconds, not {timeout_s!r}")
    return timeout_s


def _explain(error: RedisError, server: str, failure: str) -> str:
    return f"{server} {'refused the credentials' if isinstance(error, REFUSALS) else failure}: {error}"


def _raise_failure(record: Mapping[str, Any]) -> NoReturn:
    failure = record["result"]
    name, arguments = failure["exc_type"], failure["exc_message"]
    if record["status"] == "REVOKED":
        if "expired" in arguments:
            raise errors.DeadlineExceeded("the deadline passed before a worker began the request")
        raise errors.RequestRevoked(f"the request was revoked: {arguments}")
    if name in _REQUEST_ERRORS:
        raise _REQUEST_ERRORS[name](*arguments)
    text = " ".join(map(str, arguments)) if isinstance(arguments, list) else str(arguments)
    raise errors.RemoteFailure(name, text)
