"""Whatever is in a worker's queue, it ends in an answer, a typed error or a dead letter, and the worker lives on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from producer import Client
from tests.envelopes import TASK, THROUGH_A_WORKER, Envelope, envelopes, raw_elements
from worker.transport.dead_letters import UNBOUNDED, DeadLetters
from worker.transport.keys import Keys


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started


@pytest.fixture(scope="module")
def books(server: LocalServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as connected:
        yield connected


@pytest.fixture(scope="module")
def worker(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalWorker]:
    environment = {
        "CELERIAC_BROKER_URL": server.url,
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path_factory.mktemp("leases")),
        "CELERIAC_CORES_ALLOW_SHARING": "true",
        "CELERIAC_MODELS": "sentiment",
    }
    with LocalWorker(["--concurrency=1"], environment) as started:
        started.wait_until_ready()
        yield started


@pytest.fixture(scope="module")
def before(worker: LocalWorker) -> tuple[int, dict[int, int]]:
    """The worker's processes as they are at first."""
    return worker.pid, worker.processes


def scheduled(stock: Celery) -> int:
    """How many requests the worker holds for later."""
    replies = stock.control.inspect(timeout=PATIENCE_S, limit=1).scheduled()
    assert replies
    return sum(map(len, replies.values()))


@pytest.mark.usefixtures("before")
@settings(max_examples=THROUGH_A_WORKER, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=st.lists(st.one_of(envelopes(), envelopes(), raw_elements()), min_size=1, max_size=1))
def test_every_message_is_disposed_of(worker: LocalWorker, books: redis.Redis, sent: list[Envelope]) -> None:
    books.lpush(TASK, *(envelope.raw for envelope in sent))

    def are_disposed_of() -> bool:
        return not books.llen(TASK) and all(is_accounted_for(books, envelope) for envelope in sent)

    worker.wait_for(are_disposed_of)


def is_accounted_for(books: redis.Redis, envelope: Envelope) -> bool:
    """Whether there is a result, a dead letter, or the message itself where it waits."""
    if books.exists(f"celery-task-meta-{envelope.task_id}"):
        return True
    letters = DeadLetters(books, Keys.of_prefix(), UNBOUNDED)
    if any(letters.envelope(letter.letter_id) == envelope.raw for letter in letters.newest_first()):
        return True
    try:
        headers: Any = json.loads(envelope.raw)["headers"]
        has_own_id = headers["id"] == envelope.task_id and not headers.get("ignore_result")
    except (ValueError, TypeError, KeyError, AttributeError):
        # Without an id of its own nobody waits for it: it was refused, and the log says so.
        return True
    is_elsewhere = any(
        envelope.task_id.encode() in raw
        for name in books.keys("*")
        if books.type(name) == b"list"
        for raw in books.lrange(name, 0, -1)
    )
    is_for_later = bool(headers.get("eta")) and any(envelope.task_id.encode() in raw for raw in books.hvals("unacked"))
    return not has_own_id or is_elsewhere or is_for_later


def test_and_the_worker_is_the_same_and_holds_only_what_is_for_later(
    worker: LocalWorker, before: tuple[int, dict[int, int]], server: LocalServer, books: redis.Redis, stock: Celery
) -> None:
    with Client(server.url, timeout_s=PATIENCE_S) as client:
        assert client.classify("good")[0]["label"] == "POSITIVE"
    worker.wait_for(lambda: books.hlen("unacked") == scheduled(stock))
    assert (worker.pid, worker.processes) == before
    assert Path(f"/proc/{worker.pid}").exists()
    assert "Unrecoverable error" not in worker.log
