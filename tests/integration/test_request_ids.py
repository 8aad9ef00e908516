"""With a real worker: an id that is sent again is computed once, and what is cancelled or too late is not computed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer
from producer import (
    AsyncClient,
    AsyncRequestHandle,
    Client,
    DeadlineExceeded,
    RequestRevoked,
    RequestStatus,
    TextClassificationRequest,
)
from tests.conftest import PATIENT, plain_celery
from tests.monitored_worker import MonitoredWorker
from tests.producer.helpers import wait_until

TEXT = "a delight"
REQUEST = TextClassificationRequest.parse({"inputs": TEXT})
MANY = 1000
#: One of the processes that send the same id: all of its threads at once, when it is told to.
CALLER = """
import json, sys, threading
from concurrent.futures import ThreadPoolExecutor
import redis
from producer import Client
url, request_id, text = sys.argv[1:]
together = threading.Barrier(10)
with Client(url, timeout_s=300) as client, ThreadPoolExecutor(10) as threads:
    def call(_):
        together.wait()
        return client.submit_classify(text, request_id=request_id).result()
    with redis.Redis.from_url(url) as server:
        server.incr("ready")
        server.expire("ready", 600)
        server.blpop(["go"])
    print(json.dumps(list(threads.map(call, range(10)))))
"""


@dataclass
class Stack:
    """A worker with one process, and the server that it consumes from."""

    server: LocalServer
    worker: MonitoredWorker

    def tokens(self) -> float:
        """How much was computed until the worker had nothing more to do."""
        with redis.Redis.from_url(self.server.url) as server:
            wait_until(lambda: not server.llen(REQUEST.task.value) and not server.hlen("unacked"))
        wait_until(lambda: not self.worker.value("held_requests"))
        return self.worker.value("tokens_total")


def environment_of(server: LocalServer, leases: Path) -> dict[str, str]:
    return {
        "CELERIAC_BROKER_URL": server.url,
        "CELERIAC_MODELS": "sentiment",
        "CELERIAC_CORES_LEASE_DIR": str(leases),
        **PATIENT,
    }


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with LocalServer() as server:
        environment = environment_of(server, tmp_path_factory.mktemp("leases"))
        with MonitoredWorker(["--concurrency=1"], environment) as worker:
            worker.wait_until_ready()
            yield Stack(server, worker)


@pytest.fixture(scope="module")
def text_tokens(stack: Stack) -> float:
    """What it takes to compute the text once."""
    before = stack.tokens()
    with Client(stack.server.url, timeout_s=PATIENCE_S) as client:
        client.classify(TEXT)
    return stack.tokens() - before


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.server.url, timeout_s=PATIENCE_S) as connected:
        yield connected


@pytest.fixture
def stock(stack: Stack) -> Iterator[Celery]:
    yield from plain_celery(stack.server)


def hold(stack: Stack, client: Client) -> None:
    """Have the frozen process given something, so that all else waits in the worker."""
    client.submit_classify("held", expires_s=PATIENCE_S)
    wait_until(lambda: stack.worker.value("processes_busy") == 1)


def pushes_to(server: redis.Redis) -> int:
    """How many messages were enqueued on a server, by scripts too."""
    count: int = server.info("commandstats")["cmdstat_lpush"]["calls"]
    return count


def let_pass(seconds: float) -> None:
    """Wait for a deadline that begins now."""
    after_s = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > after_s)


def test_the_same_id_from_many_callers_at_once_is_computed_once(
    stack: Stack, client: Client, text_tokens: float
) -> None:
    before = stack.tokens()
    command = [sys.executable, "-c", CALLER, stack.server.url, "from many", TEXT]
    with redis.Redis.from_url(stack.server.url) as server:
        callers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(5)]
        wait_until(lambda: server.get("ready") == b"5")
        pushes = pushes_to(server)
        server.rpush("go", *range(5))
        answers = [answer for caller in callers for answer in json.loads(caller.communicate(timeout=PATIENCE_S)[0])]
        assert pushes_to(server) - pushes == 1
    assert len(answers) == 50
    assert answers == [client.wait("from many").result] * 50
    assert stack.tokens() - before == text_tokens


def test_messages_of_one_request_that_were_all_sent_are_computed_once(
    stack: Stack, client: Client, stock: Celery, text_tokens: float
) -> None:
    before = stack.tokens()
    with stack.worker.frozen():
        hold(stack, client)
        for _ in range(5):
            options = {"task_id": "sent by all", "queue": REQUEST.task.value, "headers": {"celeriac_once": True}}
            stock.send_task(REQUEST.task.value, kwargs=REQUEST.to_arguments(), **options)
    assert client.wait("sent by all").result == client.classify(TEXT)
    computed = stack.tokens() - before
    assert computed == text_tokens * 2 + _tokens_of_held(stack, client)


def _tokens_of_held(stack: Stack, client: Client) -> float:
    before = stack.tokens()
    client.classify("held")
    return stack.tokens() - before


def test_an_id_is_computed_after_it_has_expired(stack: Stack, client: Client) -> None:
    with stack.worker.frozen():
        hold(stack, client)
        first = client.submit_classify(TEXT, request_id="late", expires_s=0.05)
        let_pass(0.05)
    with pytest.raises(DeadlineExceeded):
        first.result()
    assert first.status() is RequestStatus.EXPIRED
    second = client.submit_classify(TEXT, request_id="late", expires_s=PATIENCE_S)
    assert second.result() == client.classify(TEXT)
    assert second.status() is RequestStatus.SUCCEEDED


def test_an_id_that_is_sent_again_before_its_end_was_announced_has_the_second_end(stack: Stack, client: Client) -> None:
    with stack.worker.frozen():
        hold(stack, client)
        client.submit(REQUEST, request_id="again", expires_s=0.05)
        let_pass(0.05)
        second = client.submit_classify(TEXT, request_id="again")
    assert second.result() == client.classify(TEXT)


def test_an_id_is_computed_after_it_was_cancelled(stack: Stack, client: Client) -> None:
    with stack.worker.frozen():
        hold(stack, client)
        first = client.submit_classify(TEXT, request_id="unsure")
        first.cancel()
    with pytest.raises(RequestRevoked):
        first.result()
    second = client.submit_classify(TEXT, request_id="unsure")
    assert second.result() == client.classify(TEXT)


def test_an_id_that_is_cancelled_and_sent_again_while_it_waits_is_computed_once(
    stack: Stack, client: Client, text_tokens: float
) -> None:
    before = stack.tokens()
    with stack.worker.frozen():
        hold(stack, client)
        client.submit(REQUEST, request_id="sure")
        client.cancel("sure")
        again = client.submit_classify(TEXT, request_id="sure")
    assert again.result() == client.classify(TEXT)
    computed = stack.tokens() - before
    assert computed == text_tokens * 2 + _tokens_of_held(stack, client)


async def _send_many(client: AsyncClient, expires_s: float | None) -> list[AsyncRequestHandle[object]]:
    handles: list[AsyncRequestHandle[object]] = []
    handles += await asyncio.gather(*(client.submit_classify(TEXT, expires_s=expires_s) for _ in range(MANY)))
    return handles


async def _ends_of(handles: list[AsyncRequestHandle[object]]) -> set[type]:
    return {type(end) for end in await asyncio.gather(*(h.result() for h in handles), return_exceptions=True)}


def test_what_waits_in_a_worker_beyond_its_deadline_is_dropped_and_its_senders_told(
    stack: Stack, client: Client
) -> None:
    held = _tokens_of_held(stack, client)

    async def send() -> None:
        async with AsyncClient(stack.server.url, timeout_s=PATIENCE_S) as many:
            with stack.worker.frozen():
                hold(stack, client)
                handles = await _send_many(many, 0.05)
                let_pass(0.05)
            assert await _ends_of(handles) == {DeadlineExceeded}

    before = stack.tokens()
    asyncio.run(send())
    assert stack.tokens() - before == held


def test_what_was_cancelled_while_no_worker_ran_is_not_computed_and_its_senders_are_told(
    own_server: LocalServer, tmp_path: Path
) -> None:
    worker = MonitoredWorker(["--concurrency=1"], environment_of(own_server, tmp_path))

    async def send() -> None:
        async with AsyncClient(own_server.url, timeout_s=PATIENCE_S) as client:
            handles = await _send_many(client, None)
            await asyncio.gather(*(handle.cancel() for handle in handles))
            with worker:
                worker.wait_until_ready()
                assert await _ends_of(handles) == {RequestRevoked}
                assert {await handle.status() for handle in handles[:3]} == {RequestStatus.CANCELLED}
                assert worker.value("tokens_total") == 0

    asyncio.run(send())
