"""A server for the tests of the transport, emptied before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from examples.local_stack import LocalServer


@pytest.fixture(scope="session")
def broker() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started


@pytest.fixture
def keys(broker: LocalServer) -> Iterator[redis.Redis]:
    """A client of the empty server."""
    with redis.Redis.from_url(broker.url) as connected:
        connected.flushall()
        yield connected


@pytest.fixture
def url(broker: LocalServer, keys: redis.Redis) -> str:
    """The URL of the empty server."""
    assert not keys.dbsize()
    return broker.url
