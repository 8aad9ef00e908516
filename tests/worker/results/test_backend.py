"""What a batch stores arrives together, and never in place of something newer."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import pytest
import redis
from celery import Celery
from celery.app.task import Context
from celery.states import FAILURE, PENDING, RETRY, STARTED, SUCCESS

from examples.local_stack import PATIENCE_S
from worker.results.backend import RedisBackend

# Celery's own way of storing.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


@pytest.fixture
def ids() -> list[str]:
    return [str(uuid4()) for _ in range(3)]


def attempts_at(ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """First attempts at requests, with the delivery tags of their messages."""
    return {task_id: (f"tag of {task_id}", 1) for task_id in ids}


def state(stock: Celery, task_id: str) -> str:
    found: str = stock.backend.get_state(task_id)
    stock.backend._cache.clear()
    return found


def test_results_of_a_batch_are_stored_at_its_end(backend: RedisBackend, stock: Celery, ids: list[str]) -> None:
    with backend.gather(attempts_at(ids)):
        for task_id in ids:
            backend.store_result(task_id, {"is": task_id}, SUCCESS)
        assert {state(stock, task_id) for task_id in ids} == {PENDING}
        assert backend.get_state(ids[0]) == SUCCESS

    assert [stock.AsyncResult(task_id).get(timeout=PATIENCE_S) for task_id in ids] == [
        {"is": task_id} for task_id in ids
    ]


def test_only_the_last_state_is_written_and_told(
    backend: RedisBackend, redis_client: redis.Redis, ids: list[str]
) -> None:
    with redis_client.pubsub() as channel:
        channel.subscribe(backend.get_key_for_task(ids[0]))
        assert channel.get_message(timeout=PATIENCE_S) is not None
        with backend.gather(attempts_at(ids)):
            backend.store_result(ids[0], {"pid": 1}, STARTED)
            backend.store_result(ids[0], 7, SUCCESS)
        told = channel.get_message(timeout=PATIENCE_S)
        assert told is not None
        assert backend.decode(told["data"])["status"] == SUCCESS
        assert channel.get_message(timeout=0.05) is None


def test_a_success_is_not_overwritten(backend: RedisBackend, stock: Celery, ids: list[str]) -> None:
    backend.store_result(ids[0], "first", SUCCESS)

    with backend.gather(attempts_at(ids)):
        backend.store_result(ids[0], ValueError("second"), FAILURE)
        backend.store_result(ids[1], "first", SUCCESS)
        backend.store_result(ids[1], ValueError("second"), FAILURE)

    assert [stock.AsyncResult(task_id).get(timeout=PATIENCE_S) for task_id in ids[:2]] == ["first", "first"]


def test_a_success_that_another_worker_stores_meanwhile_is_not_overwritten(
    backend: RedisBackend, stock: Celery, redis_client: redis.Redis, ids: list[str]
) -> None:
    key = backend.get_key_for_task(ids[0])
    with redis_client.pubsub() as channel:
        with backend.gather(attempts_at(ids)):
            backend.store_result(ids[0], ValueError("late"), FAILURE)
            backend.store_result(ids[1], 7, SUCCESS)
            stock.backend.store_result(ids[0], "answer", SUCCESS)
            channel.subscribe(key)
            assert channel.get_message(timeout=PATIENCE_S) is not None
        assert channel.get_message(timeout=0.05) is None

    assert [stock.AsyncResult(task_id).get(timeout=PATIENCE_S) for task_id in ids[:2]] == ["answer", 7]


def test_results_are_stored_whatever_a_key_holds_and_last_as_long_as_the_setting_says(
    backend: RedisBackend, redis_client: redis.Redis, ids: list[str]
) -> None:
    redis_client.rpush(backend.get_key_for_task(ids[0]), "no result")
    redis_client.script_flush()

    with backend.gather(attempts_at(ids)):
        for task_id in ids:
            backend.store_result(task_id, 7, SUCCESS)

    assert {backend.get_state(task_id) for task_id in ids} == {SUCCESS}
    assert all(0 < redis_client.ttl(backend.get_key_for_task(task_id)) <= backend.expires for task_id in ids)


def test_a_retry_is_stored_at_once_since_its_successor_may_be_faster(
    backend: RedisBackend, stock: Celery, ids: list[str]
) -> None:
    with backend.gather(attempts_at(ids)):
        backend.store_result(ids[0], {"pid": 1}, STARTED)
        backend.store_result(ids[0], ValueError("again"), RETRY)
        assert state(stock, ids[0]) == RETRY
        # Another worker answers the retry before this batch is through.
        stock.backend.store_result(ids[0], "answer", SUCCESS)

    assert state(stock, ids[0]) == SUCCESS


@pytest.mark.parametrize("follower", [{"chord": {"task": "t"}}, {"errbacks": [{"task": "t"}]}])
def test_what_a_follower_may_read_is_stored_at_once(
    backend: RedisBackend, stock: Celery, ids: list[str], follower: dict[str, object]
) -> None:
    with backend.gather(attempts_at(ids)):
        backend.store_result(ids[0], ValueError("x"), FAILURE, request=Context(follower))
        assert state(stock, ids[0]) == FAILURE


def test_what_is_there_is_stored_when_the_process_is_about_to_leave(
    backend: RedisBackend, stock: Celery, ids: list[str]
) -> None:
    def leave() -> None:
        with backend.gather(attempts_at(ids)):
            backend.store_result(ids[0], 1, SUCCESS)
            raise SystemExit

    with pytest.raises(SystemExit):
        leave()

    assert state(stock, ids[0]) == SUCCESS
    backend.store_result(ids[1], 2, SUCCESS)
    assert state(stock, ids[1]) == SUCCESS
