"""Attempts are numbered where results are stored, and only the last one may store."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
import redis
from celery.states import FAILURE, PENDING, RETRY, SUCCESS

from worker.pool.claims import MAX_ATTEMPTS
from worker.results.attempts import RecordedClaim
from worker.results.backend import RedisBackend

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


@pytest.fixture
def request_id() -> str:
    return str(uuid4())


def claim(backend: RedisBackend, task_id: str, worker: str = "me@here", at_most: int = 9) -> RecordedClaim:
    [found] = backend.claim([(task_id, f"tag of {task_id}")], worker, at_most, MAX_ATTEMPTS)
    return found


def store(backend: RedisBackend, task_id: str, attempt: int, value: str, state: str = SUCCESS) -> bool:
    """Store a result as an attempt; whether it was not refused."""
    with backend.gather({task_id: (f"tag of {task_id}", attempt)}) as superseded:
        backend.store_result(task_id, value, state)
    return not superseded


def test_attempts_are_counted_and_their_workers_remembered(backend: RedisBackend, request_id: str) -> None:
    assert claim(backend, request_id, "first@here") == RecordedClaim(None, True, 2)
    second = claim(backend, request_id, "second@there")
    assert (second.attempt, [worker for _, worker in second.history]) == (3, ["first@here"])
    third = claim(backend, request_id)
    assert (third.attempt, [worker for _, worker in third.history]) == (4, ["first@here", "second@there"])
    assert third.history[0][0] <= third.history[1][0]


def test_an_attempt_too_many_is_not_put_on_record(backend: RedisBackend, request_id: str) -> None:
    assert claim(backend, request_id, at_most=0).may_begin
    refused = claim(backend, request_id, at_most=0)
    assert (refused.may_begin, len(refused.history)) == (False, 1)
    assert claim(backend, request_id, at_most=1) == replace(refused, may_begin=True)


@pytest.mark.parametrize("state", [SUCCESS, FAILURE])
def test_a_stored_result_is_found_and_counts_no_attempt(backend: RedisBackend, request_id: str, state: str) -> None:
    backend.store_result(request_id, ValueError("x") if state == FAILURE else "x", state)
    assert claim(backend, request_id) == RecordedClaim(state, False, 2)
    assert backend.count_attempts([f"tag of {request_id}"]) == [1]


def test_a_retry_is_no_result(backend: RedisBackend, request_id: str) -> None:
    backend.store_result(request_id, ValueError("x"), RETRY)
    assert claim(backend, request_id).attempt == 2


def test_only_the_last_attempt_stores(backend: RedisBackend, request_id: str) -> None:
    second, third = claim(backend, request_id).attempt, claim(backend, request_id).attempt
    assert not store(backend, request_id, 1, "first")
    assert not store(backend, request_id, second, "second")
    assert backend.get_state(request_id) == PENDING
    assert backend.count_attempts([f"tag of {request_id}", "another"]) == [third, 1]
    assert store(backend, request_id, third, "third")
    assert backend.get_result(request_id) == "third"


def test_what_is_given_up_has_one_end_though_its_last_attempt_still_runs(
    backend: RedisBackend, request_id: str
) -> None:
    last = [claim(backend, request_id, at_most=MAX_ATTEMPTS - 1).attempt for _ in range(MAX_ATTEMPTS)][-1]
    given_up = claim(backend, request_id, at_most=MAX_ATTEMPTS - 1)
    assert (given_up.may_begin, len(given_up.history)) == (False, MAX_ATTEMPTS)
    backend.store_result(request_id, ValueError("given up"), FAILURE)
    assert not store(backend, request_id, last, "the last attempt")
    assert backend.get_state(request_id) == FAILURE


def test_what_nobody_claimed_is_stored_and_a_success_stays(backend: RedisBackend, request_id: str) -> None:
    assert store(backend, request_id, 1, "first")
    assert store(backend, request_id, 1, "again")
    assert backend.get_result(request_id) == "first"


def test_records_expire(backend: RedisBackend, redis_client: redis.Redis, request_id: str) -> None:
    claim(backend, request_id)
    assert 0 < redis_client.ttl(f"celeriac.attempts.tag of {request_id}") <= 24 * 3600
