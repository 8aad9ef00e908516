"""Requests with ids of their callers' own are enqueued once, as long as they may still be answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer
from producer import (
    AsyncClient,
    BrokerUnavailable,
    Client,
    DeadlineExceeded,
    RequestRevoked,
    RequestStatus,
    TextClassificationRequest,
)
from producer.contract.keys import CANCELLED_KEPT_S, CANCELLED_KEY, MARK_KEPT_S, MarkState, mark_key

from .helpers import failure, queued, store

QUEUE = "text-classification"
ANSWER = [{"label": "POSITIVE", "score": 0.9}]
REQUEST = TextClassificationRequest.parse({"inputs": "a"})


@pytest.fixture(params=[0, 1], ids=["one server", "two servers"])
def backend_url(request: pytest.FixtureRequest, own_server: LocalServer) -> str:
    """Where the results are: in the broker, or in another database, which the client takes for another server."""
    database: int = request.param
    return f"{own_server.url.rstrip('/').removesuffix('/0')}/{database}"


@pytest.fixture
def results(backend_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(backend_url) as connected:
        yield connected


@pytest.fixture
def client(own_server: LocalServer, backend_url: str) -> Iterator[Client]:
    with Client(own_server.url, backend_url, timeout_s=PATIENCE_S) as connected:
        yield connected


def revoke(results: redis.Redis, reason: str) -> None:
    store(results, "mine", failure("TaskRevokedError", [reason]), status="REVOKED")


def test_an_id_that_is_sent_again_waits_for_the_message_that_is_on_its_way(
    client: Client, own_redis: redis.Redis, results: redis.Redis
) -> None:
    handles = [client.submit_classify("a", request_id="mine") for _ in range(3)]
    assert client.submit(REQUEST, request_id="mine") == "mine"
    (message,) = queued(own_redis, QUEUE)
    assert message["headers"]["celeriac_once"] == message["properties"]["delivery_tag"]
    assert results.get(mark_key("mine")) == f"{MarkState.SENT}{message['properties']['delivery_tag']}".encode()
    store(results, "mine", ANSWER)
    assert [handle.result() for handle in handles] == [ANSWER] * 3


def test_an_id_whose_message_the_broker_refused_can_be_sent_again(client: Client, own_redis: redis.Redis) -> None:
    own_redis.set(QUEUE, "no list")
    with pytest.raises(BrokerUnavailable, match="WRONGTYPE"):
        client.submit(REQUEST, request_id="mine")
    own_redis.delete(QUEUE)
    client.submit(REQUEST, request_id="mine")
    assert len(queued(own_redis, QUEUE)) == 1


def test_a_result_that_is_stored_is_the_result(client: Client, own_redis: redis.Redis, results: redis.Redis) -> None:
    store(results, "mine", ANSWER)
    assert client.submit_classify("a", request_id="mine").result() == ANSWER
    store(results, "mine", failure("TimeLimitExceeded", [60]), status="FAILURE")
    assert client.submit_classify("a", request_id="mine").status() is RequestStatus.FAILED
    assert queued(own_redis, QUEUE) == []


def test_what_a_sender_that_died_did_not_send_is_sent(
    client: Client, own_redis: redis.Redis, results: redis.Redis
) -> None:
    results.set(mark_key("mine"), f"{MarkState.SENDING}tag of another", px=60_000)
    client.submit(REQUEST, request_id="mine")
    assert len(queued(own_redis, QUEUE)) == 1


def test_what_a_worker_computes_is_not_sent_again(client: Client, own_redis: redis.Redis, results: redis.Redis) -> None:
    results.set(mark_key("mine"), f"{MarkState.TAKEN}tag of another", px=60_000)
    client.cancel("mine")
    client.submit(REQUEST, request_id="mine")
    assert queued(own_redis, QUEUE) == []


@pytest.mark.parametrize(
    ("reason", "error"), [("expired", DeadlineExceeded), ("revoked", RequestRevoked)], ids=["expired", "cancelled"]
)
def test_an_id_whose_request_was_dropped_is_sent_again_and_has_another_end(
    client: Client, own_redis: redis.Redis, results: redis.Redis, reason: str, error: type[Exception]
) -> None:
    first = client.submit_classify("a", request_id="mine")
    revoke(results, reason)
    with pytest.raises(error):
        first.result()
    second = client.submit_classify("a", request_id="mine")
    assert len(queued(own_redis, QUEUE)) == 2
    assert second.status() is RequestStatus.PENDING
    store(results, "mine", ANSWER)
    assert second.result() == first.result() == ANSWER


def test_the_asyncio_client_forgets_an_end_that_is_none_too(
    own_server: LocalServer, backend_url: str, own_redis: redis.Redis, results: redis.Redis
) -> None:
    async def call() -> None:
        async with AsyncClient(own_server.url, backend_url, timeout_s=PATIENCE_S) as client:
            handles = [await client.submit_classify("a", request_id="mine") for _ in range(3)]
            assert len(queued(own_redis, QUEUE)) == 1
            revoke(results, "expired")
            ends = await asyncio.gather(*(handle.result() for handle in handles), return_exceptions=True)
            assert [type(end) for end in ends] == [DeadlineExceeded] * 3
            again = await client.submit_classify("a", request_id="mine")
            assert len(queued(own_redis, QUEUE)) == 2
            store(results, "mine", ANSWER)
            assert await again == await handles[0] == ANSWER

    asyncio.run(call())


def test_a_cancelled_id_is_remembered_until_it_is_sent_again(
    client: Client, own_redis: redis.Redis, results: redis.Redis
) -> None:
    handle = client.submit_classify("a", request_id="mine")
    handle.cancel()
    assert results.zrange(CANCELLED_KEY, 0, -1) == [b"mine"]
    assert 0 < results.ttl(CANCELLED_KEY) <= CANCELLED_KEPT_S
    client.submit(REQUEST, request_id="mine")
    assert results.zrange(CANCELLED_KEY, 0, -1) == []
    assert len(queued(own_redis, QUEUE)) == 2


def test_a_cancellation_is_forgotten_after_its_time(client: Client, results: redis.Redis) -> None:
    results.zadd(CANCELLED_KEY, {"old": 1.0})
    client.cancel("new")
    assert results.zrange(CANCELLED_KEY, 0, -1) == [b"new"]


@pytest.mark.parametrize(("expires_s", "at_most_s"), [(None, MARK_KEPT_S), (30.0, 30), (86_400.0, MARK_KEPT_S)])
def test_a_mark_does_not_outlive_the_deadline(
    client: Client, results: redis.Redis, expires_s: float | None, at_most_s: float
) -> None:
    client.submit(REQUEST, request_id="mine", expires_s=expires_s)
    assert at_most_s - 20 < results.ttl(mark_key("mine")) <= at_most_s


def test_a_request_without_an_id_has_no_mark(client: Client, own_redis: redis.Redis, results: redis.Redis) -> None:
    request_id = client.submit(REQUEST)
    (message,) = queued(own_redis, QUEUE)
    assert "celeriac_once" not in message["headers"]
    assert not results.exists(mark_key(request_id))


def test_a_durable_request_does_not_rely_on_a_message_that_may_not_be_on_the_disk(
    client: Client, backend_url: str, own_redis: redis.Redis
) -> None:
    own_redis.config_set("appendonly", "yes")
    client.submit(REQUEST, request_id="mine")
    client.submit(REQUEST, request_id="mine", durable=True)
    # One server confirms that it has the first message on its disk.
    assert len(queued(own_redis, QUEUE)) == (1 if backend_url.endswith("/0") else 2)
