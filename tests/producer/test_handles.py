"""Handles of submitted requests, of the client without asyncio."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer
from producer import Client, QueueClass, RequestHandle, RequestRevoked, RequestStatus, WaitTimeout
from producer.contract import TaskName

from .helpers import StockWorker, arguments_of, failure, queued, store, wait_until

ANSWER = [{"label": "POSITIVE", "score": 0.9}]
QUEUE = "text-classification"


def test_a_handle_knows_what_has_become_of_its_request(own_client: Client, own_redis: redis.Redis) -> None:
    handle = own_client.submit_classify("a", queue_class=QueueClass.BULK, expires_s=60, request_id="mine")
    assert (handle.id, handle.status()) == ("mine", RequestStatus.PENDING)
    (message,) = queued(own_redis, f"{QUEUE}.bulk")
    assert (message["headers"]["id"], message["headers"]["expires"] is None) == ("mine", False)
    store(own_redis, "mine", None, status="STARTED")
    assert handle.status() is RequestStatus.STARTED
    store(own_redis, "mine", ANSWER, model={"name": "m"})
    assert handle.status() is RequestStatus.SUCCEEDED
    assert handle.result() == handle.result() == ANSWER
    assert handle.answer().model == {"name": "m"}
    assert "mine" in repr(handle)


@pytest.mark.parametrize(
    ("record", "status", "expected"),
    [
        (failure("TaskRevokedError", ["expired"]), "REVOKED", RequestStatus.EXPIRED),
        (failure("TaskRevokedError", ["terminated"]), "REVOKED", RequestStatus.CANCELLED),
        (failure("ValueError", ["x"]), "FAILURE", RequestStatus.FAILED),
        (None, "PENDING", RequestStatus.PENDING),
        (None, "of a later Celery", RequestStatus.PENDING),
    ],
)
def test_each_end_has_its_status(
    own_client: Client, own_redis: redis.Redis, record: object, status: str, expected: RequestStatus
) -> None:
    store(own_redis, "id-1", record, status=status)
    assert own_client.handle("id-1").status() is expected


def test_results_that_came_while_nobody_waited_are_there(
    own_client: Client, stock_worker: StockWorker, own_redis: redis.Redis
) -> None:
    own_client.wait(_stored(own_redis))
    handles = [own_client.submit_classify(f"text {number}") for number in range(20)]
    for _ in handles:
        message = stock_worker.take(TaskName.TEXT_CLASSIFICATION)
        stock_worker.answer(message, arguments_of(message)["inputs"])
    results: list[object] = [handle.result() for handle in reversed(handles)]
    assert results == [f"text {number}" for number in reversed(range(20))]


def _stored(connection: redis.Redis) -> str:
    store(connection, "id-0", 1)
    return "id-0"


def test_several_threads_may_ask_one_handle(
    own_client: Client, own_redis: redis.Redis, threads: ThreadPoolExecutor
) -> None:
    handle = own_client.submit_classify("a")
    asked = [threads.submit(handle.result) for _ in range(8)]
    wait_until(lambda: bool(own_redis.pubsub_numpat()))
    store(own_redis, handle.id, ANSWER)
    assert [each.result(timeout=PATIENCE_S) for each in asked] == [ANSWER] * 8


def test_a_result_that_is_late_can_be_waited_for_again(own_client: Client, own_redis: redis.Redis) -> None:
    handle = own_client.submit_classify("a")
    with pytest.raises(WaitTimeout):
        handle.result(timeout_s=0.5)
    store(own_redis, handle.id, ANSWER)
    assert handle.result() == ANSWER


def test_a_handle_of_another_client_gets_the_result(own_server: LocalServer, own_client: Client) -> None:
    handle = own_client.submit_classify("a")
    with Client(own_server.url, timeout_s=PATIENCE_S) as other, redis.Redis.from_url(own_server.url) as connection:
        store(connection, handle.id, ANSWER)
        assert other.handle(handle.id).result() == ANSWER


def test_handles_that_are_forgotten_keep_nothing(own_client: Client) -> None:
    handles: list[RequestHandle[object]] = [own_client.handle("x")]
    handles += [own_client.submit_classify("a") for _ in range(50)]
    expectations = own_client._waiter._group().expectations
    assert len(expectations._wanted) == 50
    handles.clear()
    gc.collect()
    assert len(expectations._wanted) == 0


def test_cancel_tells_the_workers_what_celery_would(own_server: LocalServer, own_client: Client) -> None:
    with redis.Redis.from_url(own_server.url) as connection, connection.pubsub() as heard:
        heard.subscribe("/0.celery.pidbox")
        assert heard.get_message(timeout=PATIENCE_S) is not None
        own_client.handle("id-1").cancel()
        ours = heard.get_message(timeout=PATIENCE_S)
        assert ours is not None
        store(connection, "id-1", failure("TaskRevokedError", ["revoked"]), status="REVOKED")
        with pytest.raises(RequestRevoked):
            own_client.wait("id-1")
