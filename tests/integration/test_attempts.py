"""Attempts at a request are counted across processes and workers, and its result is stored by one of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.worker.pool.pool_app import AMQP
from tests.worker.pool.pool_stack import PoolStack

#: What a killed worker held is delivered again after a second. Stock kombu's transport would lose some of it: it takes
#: a message from its queue before it is recorded.
SOON = {AMQP: "worker.transport:AMQP", "broker_transport_options": {"visibility_timeout": 3600, "lease_s": 1}}


@pytest.fixture
def config() -> dict[str, Any]:
    return {}


@pytest.fixture
def stack(tmp_path: Path, config: dict[str, Any]) -> Iterator[PoolStack]:
    """A worker with one process in our pool; on stock kombu's transport, unless the configuration says otherwise."""
    with PoolStack(tmp_path, config=config) as started:
        yield started


@pytest.fixture
def keys(stack: PoolStack) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.server.url) as connected:
        yield connected


def tags_of(keys: redis.Redis) -> list[bytes]:
    """The delivery tags of the messages that are not acknowledged."""
    found: Any = keys.hkeys("unacked")
    return list(found)


@pytest.mark.parametrize("config", [SOON], ids=["soon"])
def test_what_kills_its_workers_is_given_up_and_takes_nobody_with_it(stack: PoolStack, keys: redis.Redis) -> None:
    with stack.held():
        neighbours = [stack.send() for _ in range(3)]
        poison = stack.send(do="kill_worker")
        neighbours += [stack.send() for _ in range(3)]
        stack.wait_until_received([*neighbours, poison])
    stack.worker.wait_for_exit()
    for _ in range(3):
        stack.start_doomed()
    stack.restart()

    kind, (problem, *_) = stack.failure(poison)
    assert kind == "ModelFailed"
    assert "died in 3 attempts and more" in problem
    # The first attempt is not on record, since it is not known whether a worker that died had begun it.
    assert stack.computations(poison) == 4
    assert all(stack.get(result)["retries"] == 0 for result in neighbours)
    stack.worker.wait_for(lambda: not stack.unacknowledged())
    records = list(keys.scan_iter("celeriac.attempts.*"))
    assert records
    assert all(keys.ttl(key) > 0 for key in records)


def test_what_was_stored_before_is_acknowledged_and_not_computed_again(stack: PoolStack, keys: redis.Redis) -> None:
    result = stack.send()
    stack.get(result)
    stack.worker.wait_for(lambda: not stack.unacknowledged())
    again = stack.send(task_id=result.id, queue="elsewhere")
    message = keys.rpop("elsewhere")
    assert isinstance(message, bytes)
    keys.lpush("celery", message.replace(b'"delivery_info": {', b'"delivery_info": {"redelivered": true, '))
    stack.worker.wait_for(lambda: stack.worker.log.count(f"[{result.id}] received") == 2)
    stack.worker.wait_for(lambda: not keys.exists("celery", "unacked"))
    assert stack.computations(again) == 1


def test_a_process_that_was_stopped_while_another_worker_claimed_its_request_stores_nothing(
    stack: PoolStack, keys: redis.Redis
) -> None:
    with stack.held() as sent:
        [entry] = tags_of(keys)
        keys.rpush(f"celeriac.attempts.{entry.decode()}", "1.5 another@worker")
        keys.expire(f"celeriac.attempts.{entry.decode()}", 600)
        [process] = stack.pids()
        os.kill(process, signal.SIGSTOP)
        stopped_s = time.monotonic()
        stack.worker.wait_for(lambda: time.monotonic() > stopped_s + 2)
        os.kill(process, signal.SIGCONT)
    stack.worker.wait_for(lambda: "another worker's by now" in stack.worker.log)
    assert keys.exists(f"celery-task-meta-{sent.id}") == 0
    assert stack.get(stack.send())["size"] == 1
    stack.worker.wait_for(lambda: tags_of(keys) == [entry])  # not acknowledged here
