"""No awaited call outlives its deadline, whatever happens to the server, and the client works again afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer
from producer import (
    Answer,
    AsyncClient,
    BrokerUnavailable,
    CeleriacError,
    Client,
    ResultBackendUnavailable,
    ServiceUnavailable,
    TextClassificationRequest,
    WaitTimeout,
)

from .helpers import ends_within, has_looked, is_awaited, paused, store, wait_until
from .proxy import proxy

REQUEST = TextClassificationRequest.parse({"inputs": "a"})
DEADLINE_S = 0.2
#: For calls that must make some progress before their deadline.
LATER_S = 5.0
PAUSE_MS = 3000
QUEUE = "text-classification"
Call = Callable[[AsyncClient], Awaitable[object]]


async def first_of_map(client: AsyncClient) -> object:
    return [outcome async for outcome in client.map([REQUEST], timeout_s=DEADLINE_S)]


CALLS: dict[str, tuple[Call, type[CeleriacError]]] = {
    "submit": (lambda client: client.submit(REQUEST, timeout_s=DEADLINE_S), BrokerUnavailable),
    "wait": (lambda client: client.wait("id-1", timeout_s=DEADLINE_S), ResultBackendUnavailable),
    "classify": (lambda client: client.classify("a", timeout_s=DEADLINE_S), BrokerUnavailable),
    "submit_classify": (lambda client: client.submit_classify("a", timeout_s=DEADLINE_S), BrokerUnavailable),
    "status": (lambda client: client.status("id-1", timeout_s=DEADLINE_S), ResultBackendUnavailable),
    "cancel": (lambda client: client.cancel("id-1", timeout_s=DEADLINE_S), BrokerUnavailable),
    "map": (first_of_map, BrokerUnavailable),
}


async def warm_up(client: AsyncClient, connection: redis.Redis) -> None:
    await client.submit(REQUEST)
    store(connection, "warm-up", 1)
    await client.wait("warm-up")
    connection.delete(QUEUE)


async def works(client: AsyncClient, connection: redis.Redis) -> bool:
    before = connection.llen(QUEUE)
    await client.submit(REQUEST)
    store(connection, "id-2", "answer")
    return (await client.wait("id-2")).result == "answer" and connection.llen(QUEUE) == int(str(before)) + 1


async def all_fail(client: AsyncClient) -> None:
    for call, kind in CALLS.values():
        with ends_within(DEADLINE_S), pytest.raises(kind) as caught:
            await call(client)
        assert isinstance(caught.value, ServiceUnavailable)


@pytest.mark.parametrize("is_connected", [True, False], ids=["connected", "not yet connected"])
@pytest.mark.parametrize("what", ["paused", "stopped", "silent"])
def test_a_redis_that_does_not_reply_gives_a_typed_error_within_the_deadline_until_it_does(
    own_server: LocalServer, own_redis: redis.Redis, what: str, is_connected: bool
) -> None:
    async def test() -> None:
        async with AsyncClient(own_server.url, timeout_s=PATIENCE_S) as client:
            if is_connected:
                await warm_up(client, own_redis)
            with ExitStack() as stack:
                if what == "paused":
                    stack.enter_context(paused(own_server))
                elif what == "stopped":
                    own_server.stop()
                    stack.callback(own_server.start)
                else:
                    own_redis.execute_command("CLIENT", "PAUSE", PAUSE_MS, "ALL")
                await all_fail(client)
            with redis.Redis.from_url(own_server.url) as connection:
                assert await works(client, connection)

    asyncio.run(test())


@pytest.mark.parametrize("what", ["pause", "stop"])
def test_a_redis_that_goes_away_during_a_wait_gives_a_typed_error_within_the_deadline(
    own_server: LocalServer, own_redis: redis.Redis, what: str
) -> None:
    async def test() -> None:
        async with AsyncClient(own_server.url) as client:
            with ends_within(LATER_S), ExitStack() as stack:
                waiting = asyncio.create_task(client.wait("id-1", timeout_s=LATER_S))
                await asyncio.to_thread(wait_until, lambda: has_looked(own_redis))
                if what == "pause":
                    stack.enter_context(paused(own_server))
                else:
                    await asyncio.to_thread(own_server.stop)
                with pytest.raises(ResultBackendUnavailable):
                    await waiting

    asyncio.run(test())


def test_waits_go_on_through_a_restart(own_server: LocalServer, own_redis: redis.Redis) -> None:
    async def test() -> list[Any]:
        async with AsyncClient(own_server.url, timeout_s=PATIENCE_S) as client:
            handles = [await client.submit_classify("a") for _ in range(50)]
            waiting = [asyncio.create_task(handle.result()) for handle in handles]
            await asyncio.to_thread(wait_until, lambda: bool(own_redis.pubsub_numpat()))
            await asyncio.to_thread(own_server.stop)
            await asyncio.to_thread(own_server.start)
            with redis.Redis.from_url(own_server.url) as connection:
                for number, handle in enumerate(handles):
                    store(connection, handle.id, number)
            return await asyncio.gather(*waiting)

    assert asyncio.run(test()) == list(range(50))


def test_what_is_submitted_while_redis_restarts_is_enqueued_once_it_is_back(own_server: LocalServer) -> None:
    async def test() -> set[str]:
        async with AsyncClient(own_server.url, timeout_s=PATIENCE_S) as client:
            await client.submit(REQUEST)
            await asyncio.to_thread(own_server.stop)
            submitting = [asyncio.create_task(client.submit(REQUEST)) for _ in range(100)]
            await asyncio.to_thread(own_server.start)
            return set(await asyncio.gather(*submitting))

    assert len(asyncio.run(test())) == 100
    with redis.Redis.from_url(own_server.url) as connection:
        assert connection.llen(QUEUE) == 101


def test_a_slow_redis_gives_late_answers_and_answers_in_time(own_server: LocalServer, own_redis: redis.Redis) -> None:
    store(own_redis, "id-1", "answer")

    async def test(url: str) -> None:
        async with AsyncClient(url, timeout_s=PATIENCE_S) as client:
            assert (await client.wait("id-1")).result == "answer"
            with ends_within(LATER_S), pytest.raises(WaitTimeout):
                await client.wait("id-0", timeout_s=LATER_S)
            outcomes = [outcome async for outcome in client.map([REQUEST], timeout_s=LATER_S)]
            assert [type(outcome) for outcome in outcomes] == [WaitTimeout]
            assert not isinstance(outcomes[0], Answer)

    with proxy(own_server, delay_s=0.5) as url:
        asyncio.run(test(url))


def test_refused_credentials_are_reported_at_once(own_server: LocalServer) -> None:
    url = own_server.url.replace("redis://", "redis://nobody:wrong@")

    async def test() -> None:
        async with AsyncClient(url, timeout_s=PATIENCE_S) as client:
            with pytest.raises(BrokerUnavailable, match="refused the credentials"):
                await client.classify("a")
            with pytest.raises(ResultBackendUnavailable, match="refused the credentials"):
                await client.status("id-1")

    asyncio.run(test())


def test_a_user_that_may_not_subscribe_is_told_at_once(own_server: LocalServer, own_redis: redis.Redis) -> None:
    own_redis.execute_command("ACL", "SETUSER", "guest", "on", ">secret", "~*", "resetchannels", "+@all")
    url = own_server.url.replace("//", "//guest:secret@")

    async def test() -> None:
        async with AsyncClient(url, timeout_s=PATIENCE_S) as client:
            for _ in range(2):
                with pytest.raises(ResultBackendUnavailable, match="permission"):
                    await client.wait("id-1")

    asyncio.run(test())
    own_redis.acl_deluser("guest")


def test_a_user_whose_channels_are_named_gets_one_for_each_request(
    own_server: LocalServer, own_redis: redis.Redis
) -> None:
    # Redis lets a pattern be subscribed to only if the permissions name the very same pattern.
    own_redis.execute_command(
        "ACL", "SETUSER", "guest", "on", ">secret", "~*", "resetchannels", "&celery-task-meta-*", "+@all"
    )
    url = own_server.url.replace("//", "//guest:secret@")

    async def test() -> None:
        async with AsyncClient(url, timeout_s=PATIENCE_S) as client:
            handle = await client.submit_classify("a")
            waiting = asyncio.create_task(handle.result())
            await asyncio.to_thread(wait_until, lambda: is_awaited(own_redis, handle.id))
            store(own_redis, handle.id, "answer")
            outcome: object = await waiting
            assert outcome == "answer"

    asyncio.run(test())
    with Client(url, timeout_s=PATIENCE_S) as client, ThreadPoolExecutor(1) as threads:
        handle = client.submit_classify("a")
        waiting = threads.submit(handle.result)
        wait_until(lambda: is_awaited(own_redis, handle.id))
        store(own_redis, handle.id, "answer")
        outcome: object = waiting.result(timeout=PATIENCE_S)
        assert outcome == "answer"
    own_redis.acl_deluser("guest")
