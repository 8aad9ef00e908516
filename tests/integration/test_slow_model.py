"""A legal message is answered, however long it takes on this core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalWorker
from producer.contract import MAX_INPUTS, TaskName

TASK = TaskName.TEXT_CLASSIFICATION.value
#: More than the 512 tokens that the model reads.
LONG = "a charming and often affecting journey " * 80


@pytest.fixture
def hurried(own_environment: dict[str, str]) -> Iterator[LocalWorker]:
    """A worker whose limits are far too small for the largest message, and whose messages are soon another's."""
    environment = {
        **own_environment,
        "CELERIAC_TIME_SOFT_LIMIT_S": "0.1",
        "CELERIAC_TIME_HARD_LIMIT_S": "0.15",
        "CELERIAC_TIME_VISIBILITY_TIMEOUT_S": "1",
    }
    with LocalWorker(["--concurrency=1"], environment) as worker:
        worker.wait_until_ready()
        yield worker


def test_the_largest_message_succeeds_and_is_computed_once(
    hurried: LocalWorker, own_stock: Celery, own_redis: redis.Redis
) -> None:
    sent = own_stock.send_task(TASK, kwargs={"inputs": [LONG] * MAX_INPUTS}, queue=TASK)

    assert len(sent.get(timeout=PATIENCE_S)) == MAX_INPUTS
    stats = own_stock.control.inspect(timeout=PATIENCE_S, limit=1).stats()
    assert [worker["pool"]["batches"]["requests"] for worker in (stats or {}).values()] == [1]
    assert hurried.log.count(f"{sent.id}] received") == 1
    assert own_redis.llen(TASK) == 0


def test_a_process_that_still_starts_has_one_message_waiting(
    own_environment: dict[str, str], own_stock: Celery
) -> None:
    sent = [own_stock.send_task(TASK, kwargs={"inputs": f"text {number}"}, queue=TASK) for number in range(50)]
    # Mingling takes a second, in which the process might start.
    with LocalWorker(["--concurrency=1", "--without-mingle"], own_environment) as worker:
        for each in sent:
            each.get(timeout=PATIENCE_S)
        before, _, after = worker.log.partition("is ready on core")

    assert before.count("received") == 1
    assert after.count("received") == len(sent) - 1


def test_a_limit_that_the_message_sets_itself_holds(hurried: LocalWorker, own_stock: Celery) -> None:
    inputs = [LONG] * MAX_INPUTS
    sent = own_stock.send_task(TASK, kwargs={"inputs": inputs}, queue=TASK, soft_time_limit=0.1, time_limit=3600)

    assert type(sent.get(timeout=PATIENCE_S, propagate=False)).__name__ == "SoftTimeLimitExceeded"
    assert hurried.log.count(f"{sent.id}] received") == 1
