"""A worker hears of cancelled requests, reads of those that it did not hear of, and asks about no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from examples.local_stack import LocalServer
from producer import Client
from producer.contract.keys import CANCELLED_KEY
from worker.results.cancellations import Cancellations


@pytest.fixture
def results(own_server: LocalServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_server.url) as connected:
        yield connected


@pytest.fixture
def own_client(own_server: LocalServer) -> Iterator[Client]:
    with Client(own_server.url) as connected:
        yield connected


def commands_of(results: redis.Redis) -> int:
    count: int = results.info("commandstats").get("cmdstat_zscore", {}).get("calls", 0)
    return count


def test_what_was_cancelled_before_is_read_and_what_comes_later_too(results: redis.Redis, own_client: Client) -> None:
    cancellations = Cancellations()
    own_client.cancel("before")
    cancellations.read(results, "")
    assert cancellations.holds("before", results, "")
    own_client.cancel("later")
    assert not cancellations.holds("later", results, "")
    cancellations.read(results, "")
    assert cancellations.holds("later", results, "")


def test_the_server_decides_about_what_was_heard_and_is_asked_about_nothing_else(
    results: redis.Redis, own_client: Client
) -> None:
    cancellations = Cancellations()
    cancellations.hear(["mine", "nobody's"])
    own_client.cancel("mine")
    asked = commands_of(results)
    assert not cancellations.holds("another", results, "")
    assert commands_of(results) == asked
    assert cancellations.holds("mine", results, "")
    assert not cancellations.holds("nobody's", results, "")
    results.zrem(CANCELLED_KEY, "mine")
    assert not cancellations.holds("mine", results, "")
    asked = commands_of(results)
    assert not cancellations.holds("mine", results, "")
    assert commands_of(results) == asked
