"""The asyncio client against a real server; answers are stored as a worker's result backend stores them."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer
from producer import (
    Answer,
    AsyncClient,
    DeadlineExceeded,
    InvalidRequest,
    NotDurable,
    QueueClass,
    RequestRevoked,
    RequestStatus,
    TextClassificationRequest,
    WaitTimeout,
)
from producer.async_sender import MAX_CONNECTIONS
from producer.contract import Request, TaskName

from .helpers import StockWorker, arguments_of, failure, key_of, queued, store, subscriptions, wait_until

TASK = TaskName.TEXT_CLASSIFICATION
REQUEST = TextClassificationRequest.parse({"inputs": "a"})
ANSWER = [{"label": "POSITIVE", "score": 0.9}]
QUEUE = "text-classification"
T = TypeVar("T")
#: Runs in a separate process, since that of the tests has threads. Parent and child both use the client.
FORK = """
import asyncio, os, sys
from producer import AsyncClient

client = AsyncClient(sys.argv[1], timeout_s=300)


async def use(own):
    answers = {(await client.wait(own)).result for _ in range(20)}
    return answers == {"answer to " + own}


async def both():
    assert await use("parent")
    child = os.fork()
    if child == 0:
        # The event loop that the parent runs is no use here; a new one needs a thread of its own.
        import threading
        right = []
        thread = threading.Thread(target=lambda: right.append(asyncio.run(use("child"))))
        thread.start()
        thread.join()
        os._exit(0 if right == [True] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert await use("parent")
    await client.close()


asyncio.run(both())
"""


def run(server: LocalServer, test: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """Run a test with a client of its own."""

    async def with_client() -> T:
        async with AsyncClient(server.url, timeout_s=PATIENCE_S) as client:
            return await test(client)

    return asyncio.run(with_client())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds, without stopping the event loop."""
    await asyncio.to_thread(wait_until, condition)


async def beside(call: Coroutine[Any, Any, T], condition: Callable[[], bool], then: Callable[[], object]) -> T:
    """Await ``call``, and do something as soon as a condition holds."""
    task = asyncio.create_task(call)
    await until(condition)
    then()
    return await task


def is_waited_for(connection: redis.Redis) -> bool:
    """Whether a client has subscribed to its results."""
    return bool(connection.pubsub_numpat())


def test_a_call_sends_its_request_and_returns_the_result(
    own_server: LocalServer, own_redis: redis.Redis, stock_worker: StockWorker
) -> None:
    def answer() -> None:
        message = stock_worker.take(TASK)
        assert arguments_of(message) == {"inputs": "a", "top_k": None}
        assert message.headers["expires"] is not None
        stock_worker.answer(message, ANSWER)

    async def call(client: AsyncClient) -> object:
        return await beside(client.classify("a", top_k=None), lambda: bool(own_redis.llen(QUEUE)), answer)

    assert run(own_server, call) == ANSWER


def test_each_of_many_calls_gets_its_own_answer_on_few_connections_and_one_subscription(
    own_server: LocalServer, own_redis: redis.Redis, stock_worker: StockWorker
) -> None:
    def ours() -> int:
        return sum(connection["name"] == "ours" for connection in own_redis.client_list())

    def answer_all() -> None:
        messages = [stock_worker.take(TASK) for _ in range(200)]
        assert 0 < ours() <= MAX_CONNECTIONS
        assert (own_redis.pubsub_numpat(), subscriptions(own_redis)) == (1, [])
        for message in reversed(messages):
            stock_worker.answer(message, arguments_of(message)["inputs"])

    async def call() -> list[Any]:
        async with AsyncClient(f"{own_server.url}?client_name=ours", timeout_s=PATIENCE_S) as client:
            calls = [asyncio.create_task(client.classify(f"text {number}")) for number in range(200)]
            await asyncio.to_thread(answer_all)
            return await asyncio.gather(*calls)

    assert asyncio.run(call()) == [f"text {number}" for number in range(200)]
    wait_until(lambda: own_redis.pubsub_numpat() == 0)
    wait_until(lambda: ours() == 0)


def test_an_answer_that_is_there_already_is_returned_with_its_model(
    own_server: LocalServer, own_redis: redis.Redis
) -> None:
    store(own_redis, "id-1", ANSWER, model={"name": "m"})
    assert run(own_server, lambda client: client.wait("id-1")) == Answer("id-1", ANSWER, {"name": "m"})


def test_an_answer_to_an_id_from_elsewhere_is_pushed_and_its_channel_left(
    own_server: LocalServer, own_redis: redis.Redis
) -> None:
    async def call(client: AsyncClient) -> Answer:
        channel = key_of("id-1")
        answer = await beside(
            client.wait("id-1"),
            lambda: bool(own_redis.pubsub_channels(channel)),
            lambda: store(own_redis, "id-1", ANSWER),
        )
        await until(lambda: subscriptions(own_redis) == [])
        return answer

    assert run(own_server, call).result == ANSWER


def test_an_answer_whose_announcement_was_lost_is_found_all_the_same(
    own_server: LocalServer, own_redis: redis.Redis
) -> None:
    async def call(client: AsyncClient) -> Answer:
        handle = await client.submit_classify("a")
        await until(lambda: is_waited_for(own_redis))
        record = json.dumps({"status": "SUCCESS", "result": ANSWER})
        return await beside(handle.answer(), lambda: True, lambda: own_redis.set(key_of(handle.id), record, ex=60))

    assert run(own_server, call).result == ANSWER


def test_a_wait_survives_the_loss_of_its_subscription(own_server: LocalServer, own_redis: redis.Redis) -> None:
    async def call(client: AsyncClient) -> object:
        handle = await client.submit_classify("a")
        await until(lambda: is_waited_for(own_redis))
        assert own_redis.client_kill_filter(_type="pubsub") == 1
        return await beside(handle.result(), lambda: True, lambda: store(own_redis, handle.id, ANSWER))

    assert run(own_server, call) == ANSWER


def test_a_handle_can_be_awaited_asked_again_and_made_from_its_id(
    own_server: LocalServer, own_redis: redis.Redis
) -> None:
    async def call(client: AsyncClient) -> list[object]:
        handle = await client.submit_classify("a", queue_class=QueueClass.BULK, expires_s=60, request_id="mine")
        assert handle.id == "mine"
        assert await handle.status() is RequestStatus.PENDING
        (message,) = queued(own_redis, f"{QUEUE}.bulk")
        assert message["headers"]["expires"] is not None
        store(own_redis, "mine", ANSWER)
        assert await handle.status() is RequestStatus.SUCCEEDED
        again = client.handle("mine")
        return [await handle, *await asyncio.gather(handle.result(), again.result()), (await again.answer()).result]

    assert run(own_server, call) == [ANSWER] * 4


@pytest.mark.parametrize(
    ("reason", "status", "kind"),
    [("expired", RequestStatus.EXPIRED, DeadlineExceeded), ("terminated", RequestStatus.CANCELLED, RequestRevoked)],
)
def test_a_request_that_ended_without_an_answer_says_so(
    own_server: LocalServer, own_redis: redis.Redis, reason: str, status: RequestStatus, kind: type[Exception]
) -> None:
    store(own_redis, "id-1", failure("TaskRevokedError", [reason]), status="REVOKED")

    async def call(client: AsyncClient) -> None:
        assert await client.status("id-1") is status
        with pytest.raises(kind):
            await client.wait("id-1")

    run(own_server, call)


def test_a_late_answer_is_a_timeout_and_an_invalid_request_is_never_sent(
    own_server: LocalServer, own_redis: redis.Redis
) -> None:
    async def call(client: AsyncClient) -> None:
        with pytest.raises(WaitTimeout, match="id-1"):
            await client.wait("id-1", timeout_s=1)
        with pytest.raises(InvalidRequest):
            await client.classify("")
        with pytest.raises(ValueError, match="timeout_s"):
            await client.classify("a", timeout_s=0)

    run(own_server, call)
    assert queued(own_redis) == []


def test_a_cancelled_caller_has_its_request_revoked(own_server: LocalServer, own_redis: redis.Redis) -> None:
    with own_redis.pubsub() as heard:
        heard.subscribe("/0.celery.pidbox")
        assert heard.get_message(timeout=PATIENCE_S) is not None

        async def call(client: AsyncClient) -> None:
            task = asyncio.create_task(client.classify("a"))
            await until(lambda: bool(own_redis.llen(QUEUE)))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            order = await asyncio.to_thread(heard.get_message, timeout=PATIENCE_S)
            assert order is not None

        run(own_server, call)


def test_a_durable_request_is_confirmed_or_refused(own_server: LocalServer, own_redis: redis.Redis) -> None:
    async def call(client: AsyncClient) -> None:
        await client.submit(REQUEST, durable=True)
        own_redis.config_set("appendonly", "no")
        with pytest.raises(NotDurable):
            await client.submit(REQUEST, durable=True)
        own_redis.config_set("appendonly", "yes")

    run(own_server, call)
    assert len(queued(own_redis)) == 2


@pytest.mark.parametrize("is_async", [False, True], ids=["iterable", "async iterable"])
def test_a_map_answers_requests_in_their_order(
    own_server: LocalServer, stock_worker: StockWorker, threads: ThreadPoolExecutor, is_async: bool
) -> None:
    texts = [f"text {number}" for number in range(9)]

    def requests() -> list[Request]:
        return [TextClassificationRequest.parse({"inputs": text}) for text in texts]

    async def slowly() -> AsyncIterator[Request]:
        for request in requests():
            await asyncio.sleep(0)
            yield request

    def answer_all() -> None:
        messages = [stock_worker.take(TASK, bulk=True) for _ in texts]
        for message in reversed(messages):
            stock_worker.answer(message, arguments_of(message)["inputs"])

    async def call(client: AsyncClient) -> list[Any]:
        seen: list[int] = []
        mapped = client.map(slowly() if is_async else requests(), chunk_s=None, on_progress=seen.append)
        results = [outcome.result async for outcome in mapped if isinstance(outcome, Answer)]
        assert seen == list(range(1, 10))
        return results

    answering = threads.submit(answer_all)
    assert run(own_server, call) == texts
    answering.result(timeout=PATIENCE_S)


def test_a_map_gives_up_what_nobody_answers_and_goes_on(
    own_server: LocalServer, stock_worker: StockWorker, threads: ThreadPoolExecutor
) -> None:
    def answer_second() -> None:
        stock_worker.take(TASK, bulk=True)
        stock_worker.answer(stock_worker.take(TASK, bulk=True), "second")

    async def call(client: AsyncClient) -> list[object]:
        return [outcome async for outcome in client.map([REQUEST, REQUEST], timeout_s=10)]

    answering = threads.submit(answer_second)
    first, second = run(own_server, call)
    assert isinstance(first, WaitTimeout)
    assert isinstance(second, Answer)
    answering.result(timeout=PATIENCE_S)


def test_one_client_serves_several_event_loops_at_once_and_one_after_the_other(
    own_server: LocalServer, own_redis: redis.Redis
) -> None:
    ids = [f"id-{number}" for number in range(4)]
    client = AsyncClient(own_server.url, timeout_s=PATIENCE_S)
    start = threading.Barrier(len(ids))

    async def wait(request_id: str) -> Any:
        try:
            return (await client.wait(request_id)).result
        finally:
            await client.close()

    def in_its_own_loop(request_id: str) -> Any:
        start.wait()
        return asyncio.run(wait(request_id))

    with ThreadPoolExecutor(len(ids)) as pool:
        waiting = [pool.submit(in_its_own_loop, request_id) for request_id in ids]
        wait_until(lambda: own_redis.pubsub_numpat() == 4 or len(subscriptions(own_redis)) == len(ids))
        for request_id in ids:
            store(own_redis, request_id, f"answer to {request_id}")
        assert [each.result(timeout=PATIENCE_S) for each in waiting] == [f"answer to {i}" for i in ids]
    assert asyncio.run(wait(ids[0])) == "answer to id-0"


def test_an_event_loop_that_ends_leaves_no_connection_even_if_nobody_closed_the_client(
    own_server: LocalServer, own_redis: redis.Redis
) -> None:
    store(own_redis, "id-1", ANSWER)
    before = len(own_redis.client_list())
    client = AsyncClient(own_server.url, timeout_s=PATIENCE_S)
    for _ in range(3):
        assert asyncio.run(client.wait("id-1")).result == ANSWER
    gc.collect()
    wait_until(lambda: len(own_redis.client_list()) == before)


def test_a_child_process_has_connections_of_its_own(own_server: LocalServer, own_redis: redis.Redis) -> None:
    for request_id in ("parent", "child"):
        store(own_redis, request_id, f"answer to {request_id}")
    command = [sys.executable, "-W", "error", "-c", FORK, own_server.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
