"""Waits over a connection that is slow or breaks at the worst moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from examples.local_stack import LocalServer
from producer import Client, WaitTimeout

from .helpers import ends_within, key_of, record, store, wait_until
from .proxy import proxy

#: Delay of every reply, in seconds. A connection's handshake has three replies.
DELAY_S = 0.02


@pytest.fixture
def far_client(own_server: LocalServer) -> Iterator[Client]:
    """A client on a slow connection."""
    with proxy(own_server, delay_s=DELAY_S) as url, Client(url) as client:
        yield client


@pytest.mark.parametrize("timeout_s", [4.0, 8.0])
def test_an_answer_that_does_not_come_in_time_over_a_slow_connection_is_a_wait_timeout(
    far_client: Client, timeout_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may stop this process for longer than the last check has by default.
    monkeypatch.setattr("producer.waiter.LAST_CHECK_S", 3.0)
    for _ in range(2):
        with ends_within(timeout_s), pytest.raises(WaitTimeout):
            far_client.wait("id-1", timeout_s=timeout_s)


def test_an_answer_that_is_there_already_comes_over_a_slow_connection(
    far_client: Client, own_redis: redis.Redis
) -> None:
    store(own_redis, "id-1", "answer")
    assert far_client.wait("id-1").result == "answer"


def test_an_answer_that_is_still_arriving_at_the_deadline_is_a_wait_timeout(
    own_server: LocalServer, own_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.waiter.LAST_CHECK_S", 60.0)
    checks: list[bytes] = []

    def half_of_a_message(chunk: bytes) -> bytes:
        return chunk[: len(chunk) // 2] if b"\r\nmessage\r\n" in chunk else chunk

    def publish_after_the_check(chunk: bytes) -> bytes:
        if chunk == b"*1\r\n$-1\r\n":
            checks.append(chunk)
            own_redis.publish(key_of("id-1"), record("id-1", "answer"))
        return half_of_a_message(chunk)

    with proxy(own_server, replies=publish_after_the_check) as url, Client(url) as client, pytest.raises(WaitTimeout):
        client.wait("id-1", timeout_s=5)
    assert checks


@pytest.mark.parametrize("treated", [None, b""], ids=["the connection breaks", "the confirmation never comes"])
def test_an_answer_in_hand_is_returned_although_the_end_of_its_subscription_is_not_confirmed(
    own_server: LocalServer, own_redis: redis.Redis, treated: bytes | None
) -> None:
    ends: list[bytes] = []

    def treat(chunk: bytes) -> bytes | None:
        if b"UNSUBSCRIBE" in chunk:
            ends.append(chunk)
            return treated
        return chunk

    store(own_redis, "id-1", "answer")
    with proxy(own_server, requests=treat) as url, Client(url) as client:
        for _ in range(2):
            with ends_within(5):
                assert client.wait("id-1", timeout_s=600).result == "answer"
    wait_until(lambda: not own_redis.pubsub_channels())
    assert len(ends) == 2
