"""``map`` with a log: what an earlier run has sent is waited for, and sent again only if it does not come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer
from producer import Answer, AsyncClient, CeleriacError, Client, TextClassificationRequest, async_map, sync_map
from producer.chunks import ChunkedMap
from producer.contract import Request, TaskName
from producer.message_log import LoggedMessage, MessageLog

from .helpers import StockWorker, arguments_of, failure, is_awaited, queued, store, wait_until

TASK = TaskName.TEXT_CLASSIFICATION
BULK_QUEUE = "text-classification.bulk"
Outcomes = list[Answer | CeleriacError]
Map = Callable[..., Outcomes]


class Log:
    """Remembers what was entered. An id says which requests the message has, and the attempt."""

    def __init__(self, *sizes: int, sent: tuple[str, ...] = (), unsure: tuple[str, ...] = ()) -> None:
        self.sizes, self._sent, self._unsure = sizes, sent, unsure
        self.entered: list[str] = []
        self.confirmed: list[str] = []

    def enter(self, first: int, count: int, attempt: int) -> LoggedMessage:
        request_id = f"{first}+{count}.{attempt}"
        self.entered.append(request_id)
        may_be_sent = request_id in self._sent or request_id in self._unsure
        return LoggedMessage(request_id, may_be_sent=may_be_sent, is_unsure=request_id in self._unsure)

    def sent(self, request_id: str) -> None:
        self.confirmed.append(request_id)


def requests_of(*texts: str) -> list[Request]:
    return [TextClassificationRequest.parse({"inputs": text}) for text in texts]


@pytest.fixture(params=["sync", "async"])
def run_map(request: pytest.FixtureRequest, own_server: LocalServer) -> Map:
    """``map`` of either client."""

    def run(requests: list[Request], **options: Any) -> Outcomes:
        with Client(own_server.url, timeout_s=PATIENCE_S) as client:
            return list(client.map(requests, **options))

    async def run_async(requests: list[Request], **options: Any) -> Outcomes:
        async with AsyncClient(own_server.url, timeout_s=PATIENCE_S) as client:
            return [outcome async for outcome in client.map(requests, **options)]

    return run if request.param == "sync" else lambda requests, **options: asyncio.run(run_async(requests, **options))


@pytest.fixture
def one_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def results_of(outcomes: Outcomes) -> list[Any]:
    return [outcome.result if isinstance(outcome, Answer) else type(outcome) for outcome in outcomes]


def test_messages_have_the_ids_and_the_sizes_of_the_log(
    run_map: Map, stock_worker: StockWorker, one_thread: ThreadPoolExecutor
) -> None:
    log = Log(2, 1)
    running = one_thread.submit(run_map, requests_of(*"abcd"), log=log, in_flight=2)
    for expected in (["a", "b"], "c", "d"):
        message = stock_worker.take(TASK, bulk=True)
        assert arguments_of(message)["inputs"] == expected
        stock_worker.answer(message, expected)
    assert results_of(running.result(PATIENCE_S)) == list("abcd")
    assert log.entered == log.confirmed == ["0+2.1", "2+1.1", "3+1.1"]


def test_what_an_earlier_run_has_sent_is_not_sent_again(
    run_map: Map, own_redis: redis.Redis, one_thread: ThreadPoolExecutor
) -> None:
    store(own_redis, "0+2.1", ["A", "B"])
    log = Log(2, 1, sent=("0+2.1", "2+1.1"))
    running = one_thread.submit(run_map, requests_of(*"abc"), log=log)
    # The other one is computed now.
    wait_until(lambda: is_awaited(own_redis, "2+1.1"))
    store(own_redis, "2+1.1", "C")
    assert results_of(running.result(PATIENCE_S)) == ["A", "B", "C"]
    assert queued(own_redis, BULK_QUEUE) == []


def test_what_has_failed_together_in_an_earlier_run_is_looked_for_in_parts(
    run_map: Map, own_redis: redis.Redis, one_thread: ThreadPoolExecutor, stock_worker: StockWorker
) -> None:
    store(own_redis, "0+2.1", failure("WorkerLostError", ["signal 9"]), status="FAILURE")
    store(own_redis, "0+1.1", "A")
    log = Log(2, sent=("0+2.1", "0+1.1"))
    running = one_thread.submit(run_map, requests_of("a", "b"), log=log)
    message = stock_worker.take(TASK, bulk=True)
    assert (message.headers["id"], arguments_of(message)["inputs"]) == ("1+1.1", "b")
    stock_worker.answer(message, "B")
    assert results_of(running.result(PATIENCE_S)) == ["A", "B"]


def test_what_does_not_come_in_time_is_sent_all_at_once(
    run_map: Map, one_thread: ThreadPoolExecutor, stock_worker: StockWorker
) -> None:
    log = Log(1, 1, sent=("0+1.1", "1+1.1"))
    running = one_thread.submit(run_map, requests_of("a", "b"), log=log, timeout_s=2)
    messages = [stock_worker.take(TASK, bulk=True) for _ in "ab"]
    assert [message.headers["id"] for message in messages] == ["0+1.1", "1+1.1"]
    for message in messages:
        stock_worker.answer(message, arguments_of(message)["inputs"])
    assert len(running.result(PATIENCE_S)) == 2


def test_what_was_perhaps_not_sent_is_not_waited_for_as_long(
    run_map: Map, one_thread: ThreadPoolExecutor, stock_worker: StockWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sync_map, async_map):
        monkeypatch.setattr(module, "UNSURE_S", 0.1)
    log = Log(1, unsure=("0+1.1",))
    running = one_thread.submit(run_map, requests_of("a"), log=log, timeout_s=2 * PATIENCE_S)
    message = stock_worker.take(TASK, bulk=True)
    stock_worker.answer(message, "A")
    assert results_of(running.result(PATIENCE_S)) == ["A"]
    assert log.confirmed == [message.headers["id"]] == ["0+1.1"]


def test_another_attempt_has_another_id(
    run_map: Map, one_thread: ThreadPoolExecutor, stock_worker: StockWorker
) -> None:
    log = Log()
    running = one_thread.submit(run_map, requests_of("a"), log=log, retries=1)
    stock_worker.answer(stock_worker.take(TASK, bulk=True), failure("WorkerLostError", ["signal 9"]), status="FAILURE")
    stock_worker.answer(stock_worker.take(TASK, bulk=True), "A")
    assert results_of(running.result(PATIENCE_S)) == ["A"]
    assert log.entered == ["0+1.1", "0+1.2"]


def test_a_message_of_an_earlier_run_is_not_sent_before_it_is_whole() -> None:
    log: MessageLog = Log(2)
    plan = ChunkedMap(in_flight=2, chunk_s=0.25, in_order=True, log=log)
    first, second = requests_of("a", "b")
    plan.add(first)
    plan.flush()
    assert plan.to_send() == []
    plan.add(second)
    assert [chunk.numbers for chunk in plan.to_send()] == [[0, 1]]
