"""The workload that a worker derives from a sample of its queues, taken from a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery.worker import state

from examples.local_stack import LocalServer
from worker.pool.throughput import UNKNOWN_REQUEST_S
from worker.transport import Connection
from worker.workload.identity import WorkerIdentity
from worker.workload.monitor import WorkloadMonitor
from worker.workload.queue_depth import DepthSample, DepthSampler, load_key

TEXTS, BULK = "text-classification", "text-classification.bulk"
QUEUES = [TEXTS, BULK]
SECONDS = {TEXTS: 0.1, BULK: 2.0}


class Request:
    """As much of Celery's request as the monitor reads."""

    def __init__(self, queue: str | None) -> None:
        self.delivery_info = {"routing_key": queue}


@pytest.fixture
def channel(own_server: LocalServer) -> Iterator[Any]:
    with Connection(own_server.url) as connection:
        yield connection.default_channel


@pytest.fixture
def worker() -> SimpleNamespace:
    queues = [SimpleNamespace(name=name) for name in QUEUES]
    return SimpleNamespace(
        app=None,
        hostname="celery@here",
        pool=SimpleNamespace(seconds_of=lambda queue: SECONDS.get(queue, 0.5)),
        consumer=SimpleNamespace(task_consumer=SimpleNamespace(queues=queues)),
    )


@pytest.fixture(autouse=True)
def reserved(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Celery's requests that the worker holds: none, whatever other tests have left."""
    requests: list[Request] = []
    monkeypatch.setattr(state, "reserved_requests", requests)
    return requests


@pytest.fixture
def monitor(worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> WorkloadMonitor:
    """A monitor whose sampler takes a sample when the test says so, and not in a thread."""
    monkeypatch.setattr(DepthSampler, "start", lambda _: None)
    made = WorkloadMonitor(worker)
    assert made.observe() is None
    return made


@pytest.fixture
def held(reserved: list[Request]) -> list[Request]:
    """Three requests that the worker holds."""
    reserved += [Request(TEXTS), Request(TEXTS), Request(BULK)]
    return reserved


def sampler(monitor: WorkloadMonitor) -> DepthSampler:
    assert monitor._sampler is not None
    return monitor._sampler


def take_sample(monitor: WorkloadMonitor, channel: Any) -> DepthSample:
    sample = sampler(monitor).latest = sampler(monitor).sample(channel)
    return sample


def push(client: redis.Redis, queue: str, count: int) -> None:
    for _ in range(count):
        client.lpush(queue, json.dumps({"body": "e30=", "headers": {}, "properties": {}}))


def test_nothing_is_known_before_the_first_sample(monitor: WorkloadMonitor) -> None:
    assert monitor.observe() is None
    assert not monitor.is_answered()


def test_the_backlog_is_what_waits_in_the_queues_by_what_their_requests_take(
    monitor: WorkloadMonitor, channel: Any, own_redis: redis.Redis
) -> None:
    push(own_redis, TEXTS, 10)
    push(own_redis, BULK, 3)
    take_sample(monitor, channel)

    observed = monitor.observe()

    assert observed is not None
    assert observed.workload.backlog_s == pytest.approx(10 * 0.1 + 3 * 2.0)
    assert (observed.held, observed.held_s, observed.workload.arriving) == (0, 0.0, 0.0)
    assert observed.sample.waiting == {TEXTS: 10, BULK: 3}
    assert monitor.is_answered()


def test_workers_of_the_same_queue_share_what_waits_in_it(
    monitor: WorkloadMonitor, channel: Any, own_redis: redis.Redis
) -> None:
    other = DepthSampler(None, WorkerIdentity.of_new_start("celery@there"), lambda: [TEXTS], lambda: 0.0)
    other.sample(channel)
    push(own_redis, TEXTS, 10)
    push(own_redis, BULK, 3)
    take_sample(monitor, channel)

    observed = monitor.observe()

    assert observed is not None
    assert observed.workload.backlog_s == pytest.approx(10 / 2 * 0.1 + 3 * 2.0)


def test_what_the_worker_holds_belongs_to_the_backlog(
    monitor: WorkloadMonitor, channel: Any, held: list[Request]
) -> None:
    take_sample(monitor, channel)

    observed = monitor.observe()

    assert observed is not None
    assert observed.held == len(held)
    assert observed.held_s == pytest.approx(2 * 0.1 + 2.0)
    assert observed.workload.backlog_s == pytest.approx(observed.held_s)


@pytest.mark.usefixtures("held")
def test_the_other_workers_are_told_with_the_next_sample(
    monitor: WorkloadMonitor, channel: Any, own_redis: redis.Redis
) -> None:
    push(own_redis, TEXTS, 10)
    key = load_key(str(monitor._identity))
    take_sample(monitor, channel)
    assert own_redis.get(key) is None

    observed = monitor.observe()
    take_sample(monitor, channel)

    assert observed is not None
    announced = own_redis.get(key)
    assert isinstance(announced, bytes)
    assert json.loads(announced) == {"queues": sorted(QUEUES), "held_s": 2.2, "arriving": 0.0}


def test_what_is_fetched_while_the_queue_stays_as_long_has_arrived(monitor: WorkloadMonitor, channel: Any) -> None:
    first = take_sample(monitor, channel)
    monitor.observe()

    for _ in range(20):
        monitor.count(Request(TEXTS))
    second = sampler(monitor).sample(channel)
    sampler(monitor).latest = replace(second, at_s=first.at_s + 1.0)
    observed = monitor.observe()

    assert second.fetched_s == pytest.approx(20 * 0.1)
    assert observed is not None
    # The average follows with a time constant of five seconds.
    assert 0 < observed.workload.arriving < 20 * 0.1


def test_a_sample_that_is_read_twice_counts_once(monitor: WorkloadMonitor, channel: Any) -> None:
    first = take_sample(monitor, channel)
    monitor.observe()
    monitor.count(Request(BULK))
    sampler(monitor).latest = replace(sampler(monitor).sample(channel), at_s=first.at_s + 1.0)

    once, twice = monitor.observe(), monitor.observe()

    assert once == twice


def test_an_old_sample_is_not_used_and_redis_counts_as_silent(monitor: WorkloadMonitor, channel: Any) -> None:
    sample = take_sample(monitor, channel)
    assert monitor.is_answered()

    sampler(monitor).latest = replace(sample, at_s=time.monotonic() - 5.0)

    assert monitor.observe() is None
    assert not monitor.is_answered()


def test_the_pool_says_how_long_a_request_takes_and_celerys_own_pool_leaves_it_at_a_guess(
    monitor: WorkloadMonitor, worker: SimpleNamespace
) -> None:
    assert (monitor.seconds_of(TEXTS), monitor.seconds_of(None)) == (0.1, 0.5)

    worker.pool = SimpleNamespace()
    assert monitor.seconds_of(TEXTS) == UNKNOWN_REQUEST_S


def test_the_queues_are_those_that_the_worker_consumes_now(monitor: WorkloadMonitor, worker: SimpleNamespace) -> None:
    assert monitor.queues() == QUEUES

    worker.consumer.task_consumer.queues.pop()
    assert monitor.queues() == [TEXTS]
