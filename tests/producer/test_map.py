"""``map``: many requests, several at a time, answered in the order of the requests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer
from producer import (
    Answer,
    BrokerUnavailable,
    CeleriacError,
    Client,
    InvalidRequest,
    QuestionAnsweringRequest,
    QueueClass,
    RemoteFailure,
    TextClassificationRequest,
    WaitTimeout,
    ZeroShotClassificationRequest,
)
from producer.contract import ErrorCode, Request, TaskName

from .helpers import MARKER, StockWorker, arguments_of, failure, queued, wait_until

TASK = TaskName.TEXT_CLASSIFICATION
BULK_QUEUE = "text-classification.bulk"
Outcomes = list[Answer | CeleriacError]


def request_of(text: str) -> TextClassificationRequest:
    return TextClassificationRequest.parse({"inputs": text})


def too_large() -> TextClassificationRequest:
    return TextClassificationRequest.parse({"inputs": [MARKER + "é" * 99_000] * 3})


def mapping(
    threads: ThreadPoolExecutor, client: Client, requests: list[Request] | Iterator[Request], **options: Any
) -> Future[Outcomes]:
    return threads.submit(lambda: list(client.map(requests, **options)))


def is_queued(connection: redis.Redis, count: int) -> bool:
    return len(queued(connection, BULK_QUEUE)) == count


def results_of(outcomes: Outcomes) -> list[Any]:
    """The results, and the classes of the errors."""
    return [outcome.result if isinstance(outcome, Answer) else type(outcome) for outcome in outcomes]


def test_answers_come_in_the_order_of_the_requests_whatever_the_order_they_were_given_in(
    own_client: Client, stock_worker: StockWorker, threads: ThreadPoolExecutor
) -> None:
    texts = [f"text {number}" for number in range(8)]
    mapped = mapping(threads, own_client, [request_of(text) for text in texts])
    messages = [stock_worker.take(TASK, bulk=True) for _ in texts]
    assert [arguments_of(message)["inputs"] for message in messages] == texts
    for message in reversed(messages):
        stock_worker.answer(message, arguments_of(message)["inputs"], model={"name": "m", "revision": "r"})
    outcomes = mapped.result(timeout=PATIENCE_S)
    assert results_of(outcomes) == texts
    ids = [message.headers["id"] for message in messages]
    assert [(o.request_id, o.model) for o in outcomes if isinstance(o, Answer)] == [
        (request_id, {"name": "m", "revision": "r"}) for request_id in ids
    ]


def test_more_requests_than_may_be_in_flight_are_all_answered_in_their_order(
    own_client: Client, stock_worker: StockWorker, threads: ThreadPoolExecutor
) -> None:
    texts = [f"text {number}" for number in range(7)]
    mapped = mapping(threads, own_client, [request_of(text) for text in texts], in_flight=3, chunk_s=None)
    for _ in texts:
        message = stock_worker.take(TASK, bulk=True)
        stock_worker.answer(message, arguments_of(message)["inputs"])
    assert results_of(mapped.result(timeout=PATIENCE_S)) == texts


@pytest.mark.parametrize("in_flight", [1, 2])
def test_no_more_requests_are_taken_and_sent_than_may_be_in_flight(
    own_client: Client,
    own_redis: redis.Redis,
    stock_worker: StockWorker,
    threads: ThreadPoolExecutor,
    in_flight: int,
) -> None:
    taken: list[str] = []

    def requests() -> Iterator[Request]:
        for text in "abcd":
            taken.append(text)
            yield request_of(text)

    mapped = mapping(threads, own_client, requests(), in_flight=in_flight, chunk_s=None)
    for answered in range(4):
        message = stock_worker.take(TASK, bulk=True)
        sent = min(4, answered + in_flight)
        wait_until(partial(is_queued, own_redis, sent - answered - 1))
        assert taken == list("abcd")[:sent]
        stock_worker.answer(message, answered)
    assert results_of(mapped.result(timeout=PATIENCE_S)) == [0, 1, 2, 3]


def test_nothing_is_sent_before_somebody_asks_for_an_answer(own_client: Client, own_redis: redis.Redis) -> None:
    own_client.map([request_of("a")])
    assert queued(own_redis, BULK_QUEUE) == []


def test_no_requests_have_no_answers_and_need_no_server() -> None:
    with Client("redis://127.0.0.1:1/0") as client:
        assert list(client.map([])) == []


@pytest.mark.parametrize("queue_class", QueueClass)
def test_requests_of_all_tasks_go_to_the_queues_of_their_tasks(
    own_client: Client, stock_worker: StockWorker, threads: ThreadPoolExecutor, queue_class: QueueClass
) -> None:
    requests: list[Request] = [
        QuestionAnsweringRequest.parse({"question": "a?", "context": "b"}),
        ZeroShotClassificationRequest.parse({"inputs": "a", "candidate_labels": "x, y"}),
        request_of("a"),
    ]
    mapped = mapping(threads, own_client, requests, queue_class=queue_class)
    for request in reversed(requests):
        message = stock_worker.take(request.task, bulk=queue_class is QueueClass.BULK)
        assert arguments_of(message) == request.to_arguments()
        assert message.headers["expires"] is None
        stock_worker.answer(message, request.task.value)
    assert results_of(mapped.result(timeout=PATIENCE_S)) == [request.task.value for request in requests]


def test_an_invalid_request_becomes_an_error_in_its_place_and_the_others_are_answered(
    own_client: Client, stock_worker: StockWorker, threads: ThreadPoolExecutor
) -> None:
    requests: list[Request] = [too_large(), request_of("a"), too_large(), request_of("b"), too_large()]
    mapped = mapping(threads, own_client, requests, in_flight=2, chunk_s=None)
    for text in "ab":
        message = stock_worker.take(TASK, bulk=True)
        assert arguments_of(message) == {"inputs": text}
        stock_worker.answer(message, text)
    outcomes = mapped.result(timeout=PATIENCE_S)
    assert results_of(outcomes) == [InvalidRequest, "a", InvalidRequest, "b", InvalidRequest]
    errors = [outcome for outcome in outcomes if isinstance(outcome, InvalidRequest)]
    assert {error.code for error in errors} == {ErrorCode.TOO_LARGE}
    assert MARKER not in repr([error.args for error in errors])


def test_a_request_that_a_worker_refuses_or_fails_at_becomes_an_error_in_its_place(
    own_client: Client, stock_worker: StockWorker, threads: ThreadPoolExecutor
) -> None:
    refused = list(InvalidRequest.of(ErrorCode.TOO_MANY_TOKENS, "too long", field="inputs", limit=512).args)
    mapped = mapping(threads, own_client, [request_of(text) for text in "abc"])
    messages = [stock_worker.take(TASK, bulk=True) for _ in range(3)]
    stock_worker.answer(messages[0], failure("InvalidRequest", refused), status="FAILURE")
    stock_worker.answer(messages[1], failure("WorkerLostError", ["signal 9"]), status="FAILURE")
    stock_worker.answer(messages[2], "c")
    outcomes = mapped.result(timeout=PATIENCE_S)
    assert results_of(outcomes) == [InvalidRequest, RemoteFailure, "c"]
    assert isinstance(outcomes[0], InvalidRequest)
    assert list(outcomes[0].args) == refused


def test_a_request_that_nobody_answers_becomes_an_error_in_its_place(
    own_client: Client, stock_worker: StockWorker, threads: ThreadPoolExecutor
) -> None:
    mapped = mapping(threads, own_client, [request_of("a"), request_of("b")], timeout_s=10)
    stock_worker.take(TASK, bulk=True)
    stock_worker.answer(stock_worker.take(TASK, bulk=True), "b")
    assert results_of(mapped.result(timeout=PATIENCE_S)) == [WaitTimeout, "b"]


def test_requests_that_cannot_be_sent_end_it(own_server: LocalServer, own_client: Client) -> None:
    own_server.stop()
    with pytest.raises(BrokerUnavailable):
        next(own_client.map([request_of("a"), request_of("b")], timeout_s=0.3))


def test_an_error_of_the_callers_own_iterable_reaches_the_caller(
    own_client: Client, stock_worker: StockWorker, threads: ThreadPoolExecutor
) -> None:
    def requests() -> Iterator[Request]:
        yield request_of("a")
        yield request_of("")

    mapped = mapping(threads, own_client, requests(), in_flight=1)
    stock_worker.answer(stock_worker.take(TASK, bulk=True), "a")
    with pytest.raises(InvalidRequest, match="empty"):
        mapped.result(timeout=PATIENCE_S)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf")])
def test_a_timeout_that_is_no_time_to_wait_is_refused(
    own_client: Client, own_redis: redis.Redis, timeout_s: float
) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        next(own_client.map([request_of("a")], timeout_s=timeout_s))
    assert queued(own_redis, BULK_QUEUE) == []
