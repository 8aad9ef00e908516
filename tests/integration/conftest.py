"""Workers of the pool's test app, shared by the tests that leave them running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.worker.pool_stack import OURS, STOCK, Events, PoolStack


@pytest.fixture(scope="session", params=[OURS, STOCK], ids=["ours", "stock"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolStack]:
    """A worker with one process, in our pool, and in Celery's own for reference."""
    with PoolStack(tmp_path_factory.mktemp("pool"), request.param) as started:
        yield started


@pytest.fixture(scope="session")
def our_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolStack]:
    """A worker with one process in our pool."""
    with PoolStack(tmp_path_factory.mktemp("pool"), OURS) as started:
        yield started


@pytest.fixture(scope="session")
def events(stack: PoolStack) -> Iterator[Events]:
    """What a monitor hears of `stack`."""
    listening = Events(stack.client)
    listening.start()
    yield listening
    listening.stop()


@pytest.fixture(scope="session")
def our_events(our_stack: PoolStack) -> Iterator[Events]:
    """What a monitor hears of `our_stack`."""
    listening = Events(our_stack.client)
    listening.start()
    yield listening
    listening.stop()
