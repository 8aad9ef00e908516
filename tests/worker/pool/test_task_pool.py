"""What Celery sees of the pool."""

from __future__ import annotations

import inspect

import pytest
from celery import Celery
from celery.apps.worker import on_cold_shutdown
from celery.exceptions import ImproperlyConfigured

from tests.worker.pool.live_pool import LivePool, Recorder, in_own_interpreter, two
from worker.pool import PoolHooks, TaskPool


@pytest.fixture
def plain_app() -> Celery:
    return Celery("pool", broker="memory://", set_as_current=False)


def test_a_broker_without_an_event_loop_is_refused(plain_app: Celery) -> None:
    with pytest.raises(ImproperlyConfigured, match="event loop"):
        TaskPool(1, app=plain_app, threads=True).on_start()
    plain_app.close()


@pytest.mark.parametrize("end", ["close", "stop", "terminate"])
def test_a_pool_that_never_started_can_be_ended(plain_app: Celery, end: str) -> None:
    getattr(TaskPool(1, app=plain_app, threads=False), end)()
    plain_app.close()


@in_own_interpreter
def test_a_plain_task_runs_as_in_celerys_own_pool() -> None:
    with LivePool() as live:
        live.wait_until_up()
        sent = [live.send("two"), live.send("two")]
        live.run_until(lambda: all(request.result for request in sent))

        assert [request.result for request in sent] == [2, 2]
        assert live.pool.info["batches"]["count"] == 0


@in_own_interpreter
def test_a_function_that_is_no_task_goes_to_a_process_at_once() -> None:
    with LivePool() as live:
        live.wait_until_up()
        returned: list[int] = []
        live.pool.apply_async(two, callback=returned.append)
        assert live.pool.waiting == 0
        live.run_until(lambda: returned)

        assert returned == [2]


@in_own_interpreter
def test_an_app_without_hooks_gets_the_defaults() -> None:
    with LivePool(hooks=PoolHooks()) as live:
        live.wait_until_up()
        sent = live.send()
        live.run_until(lambda: sent.result)

        assert sent.result["size"] == 1
        assert live.pool.did_start_ok()


@in_own_interpreter
def test_the_pools_size_follows_its_growth() -> None:
    with LivePool(hooks=Recorder()) as live:
        live.wait_until_up()
        live.pool.grow(1)
        live.pool.maintain_pool()
        live.wait_until_up()

        info = live.pool.info
        assert info["max-concurrency"] == len(info["processes"]) == 2
        assert info["implementation"] == "worker.pool.task_pool:TaskPool"


@in_own_interpreter
def test_the_workers_own_time_limits_apply_to_requests_that_have_none() -> None:
    with LivePool(soft_timeout=0.2) as live:
        live.wait_until_up()
        sent = live.send(wait_for=str(live.new_path()))
        live.run_until(lambda: sent.result)

        assert type(sent.result).__name__ == "SoftTimeLimitExceeded"


def test_celerys_handler_of_a_cold_shutdown_stops_the_pool_last() -> None:
    source = inspect.getsource(on_cold_shutdown)
    order = [source.index(step) for step in ("cancel_active_requests()", "should_terminate = True", "pool.stop()")]
    assert order == sorted(order)
