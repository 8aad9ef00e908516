"""Of several messages with one id, one is taken, and taken again only by its own sending or after it was revoked."""

from __future__ import annotations

from uuid import uuid4

import pytest
import redis
from celery.states import FAILURE, STARTED, SUCCESS

from producer.contract.keys import MarkState, mark_key
from worker.results.backend import RedisBackend

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


@pytest.fixture
def request_id() -> str:
    return str(uuid4())


def take(backend: RedisBackend, request_id: str, *sendings: str) -> list[str | None]:
    return list(backend.take([(request_id, sending) for sending in sendings]))


def test_the_first_message_is_taken_also_when_it_comes_again(backend: RedisBackend, request_id: str) -> None:
    assert take(backend, request_id, "first", "second") == [None, STARTED]
    assert take(backend, request_id, "second") == [STARTED]
    assert take(backend, request_id, "first") == [None]


@pytest.mark.parametrize("state", [MarkState.SENDING, MarkState.SENT])
def test_whichever_message_comes_first_is_taken_whatever_was_sent(
    backend: RedisBackend, redis_client: redis.Redis, request_id: str, state: MarkState
) -> None:
    redis_client.set(mark_key(request_id), f"{state}another", ex=60)
    assert take(backend, request_id, "first") == [None]
    assert take(backend, request_id, "another") == [STARTED]


def test_only_a_success_is_never_computed_again(backend: RedisBackend, request_id: str) -> None:
    assert take(backend, request_id, "first") == [None]
    backend.store_result(request_id, ValueError("x"), FAILURE)
    assert take(backend, request_id, "another") == [STARTED]
    # Replayed from the dead letters, say.
    assert take(backend, request_id, "first") == [None]
    backend.mark_as_revoked(request_id, "expired")
    assert take(backend, request_id, "one that was sent after that") == [None]
    backend.store_result(request_id, "x", SUCCESS)
    assert take(backend, request_id, "first", "another") == [SUCCESS, SUCCESS]


def test_a_mark_ends_before_the_result(backend: RedisBackend, redis_client: redis.Redis, request_id: str) -> None:
    take(backend, request_id, "first")
    backend.store_result(request_id, "x", SUCCESS)
    left_s = redis_client.ttl(mark_key(request_id))
    assert 0 < left_s <= redis_client.ttl(backend.get_key_for_task(request_id).decode())


def test_a_message_is_replaced_by_the_one_that_the_mark_names(
    backend: RedisBackend, redis_client: redis.Redis, request_id: str
) -> None:
    assert not backend.marks.is_replaced(request_id, "first")
    redis_client.set(mark_key(request_id), f"{MarkState.SENT}second", ex=60)
    assert backend.marks.is_replaced(request_id, "first")
    assert not backend.marks.is_replaced(request_id, "second")
    redis_client.set(mark_key(request_id), f"{MarkState.SENDING}third", ex=60)
    assert not backend.marks.is_replaced(request_id, "first")
