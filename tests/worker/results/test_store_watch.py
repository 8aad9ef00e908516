"""A worker that cannot store results knows it, and finds out when it can again."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer
from tests.producer.helpers import wait_until
from worker.results.backend import RESULT_BACKENDS, RedisBackend
from worker.results.store_watch import StoreWatch


@pytest.fixture
def backend(own_server: LocalServer) -> Iterator[RedisBackend]:
    app = Celery("results", broker="memory://", backend=own_server.url, set_as_current=False)
    app.loader.override_backends = RESULT_BACKENDS
    found = app.backend
    assert isinstance(found, RedisBackend)
    yield found
    found.client.close()
    app.close()


def test_it_ends_when_a_full_server_has_room_again(backend: RedisBackend, own_redis: redis.Redis) -> None:
    asked = threading.Semaphore(0)

    def probe() -> None:
        asked.release()
        backend.check_storing()

    watch = StoreWatch(probe)
    own_redis.config_set("maxmemory", "1mb")
    with pytest.raises(redis.ResponseError):
        backend.check_storing()

    watch.fail("full")
    for _ in range(3):
        assert asked.acquire(timeout=PATIENCE_S)
    assert watch.problem is not None

    own_redis.config_set("maxmemory", "0")
    wait_until(lambda: watch.problem is None)


def test_a_probe_is_stored_as_results_are_and_expires(backend: RedisBackend, own_redis: redis.Redis) -> None:
    backend.check_storing()
    (key,) = own_redis.scan_iter()
    assert key.startswith(b"celery-task-meta-")
    assert 0 < int(str(own_redis.ttl(key))) <= 10


def test_failures_of_one_outage_start_one_thread() -> None:
    release, probes = threading.Event(), []

    def probe() -> None:
        probes.append(threading.get_ident())
        release.wait(PATIENCE_S)

    watch = StoreWatch(probe)
    for number in range(5):
        watch.fail(f"problem {number}")
    assert watch.problem == "problem 0"
    release.set()
    wait_until(lambda: watch.problem is None)
    assert len(probes) == 1
