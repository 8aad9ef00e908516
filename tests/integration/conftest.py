"""Workers of the pool's test app, shared by the tests that leave them running."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.worker.pool.pool_stack import OURS, STOCK, Events, PoolStack


@pytest.fixture(scope="session")
def stack_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], PoolStack]]:
    """The one worker with one process that is in a pool, started when it is first asked for."""
    started: dict[str, PoolStack] = {}
    with ExitStack() as running:

        def stack_of(pool: str) -> PoolStack:
            if pool not in started:
                started[pool] = running.enter_context(PoolStack(tmp_path_factory.mktemp("pool"), pool))
            return started[pool]

        yield stack_of


@pytest.fixture(params=[OURS, STOCK], ids=["ours", "stock"])
def stack(request: pytest.FixtureRequest, stack_of: Callable[[str], PoolStack]) -> PoolStack:
    """A worker with one process, in our pool, and in Celery's own for reference."""
    return stack_of(request.param)


@pytest.fixture
def events(stack: PoolStack) -> Events:
    """What a monitor hears of `stack`."""
    return stack.events
