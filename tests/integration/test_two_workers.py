"""Two workers on one host without names of their own: they count as two, and the second says what the name costs."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import redis

from examples.local_stack import LocalServer
from producer import Client
from producer.contract import QueueClass, TextClassificationRequest
from tests.monitored_worker import MonitoredWorker
from worker.workload.queue_depth import load_key, workers_key

QUEUE = "text-classification.bulk"
TEXT = TextClassificationRequest.parse({"inputs": "It does the job, and nobody has complained about it so far."})
WARNING = "another worker is called"
NO_WARNING = "no other worker is called"
#: What a worker has fetched does not wait in a queue: more than both fetch.
REQUESTS = 700


@pytest.fixture
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    return {**own_environment, "CELERIAC_CORES_ALLOW_SHARING": "true", "CELERIAC_PROCESSES_MIN": "1"}


@pytest.fixture
def pair(environment: dict[str, str]) -> Iterator[tuple[MonitoredWorker, MonitoredWorker]]:
    with (
        MonitoredWorker(["--loglevel=DEBUG", "--autoscale=1,1"], environment) as first,
        MonitoredWorker(["--loglevel=DEBUG", "--autoscale=1,1"], environment) as second,
    ):
        for worker in (first, second):
            worker.wait_until_ready()
        yield first, second


def test_they_count_as_two_and_each_takes_half_of_the_queue_for_its_share(
    pair: tuple[MonitoredWorker, MonitoredWorker], own_server: LocalServer, own_redis: redis.Redis
) -> None:
    first, second = pair
    first.wait_for(lambda: all(worker.json("/scale")[1].get("workers") == 2 for worker in pair))
    found = own_redis.zrange(workers_key("text-classification"), 0, -1)
    members = [member.decode() for member in found if isinstance(member, bytes)]
    assert len(members) == 2
    assert len({member.partition("#")[0] for member in members}) == 1, "they have one node name"
    first.wait_for(lambda: all(own_redis.exists(load_key(member)) for member in members))

    with first.frozen(), second.frozen(), Client(own_server.url) as client:
        for _ in range(REQUESTS):
            client.submit(TEXT, queue_class=QueueClass.BULK)

        def shares() -> list[float]:
            """Seconds of one process that each takes for its part of what waits."""
            return [worker.value("backlog_seconds") - worker.value("held_seconds") for worker in pair]

        def is_halved() -> bool:
            whole = first.json("/scale")[1]
            waiting_s = whole.get("backlog_s", 0) - whole.get("held_s", 0)
            return waiting_s > 0 and all(share == pytest.approx(waiting_s / 2, rel=0.01) for share in shares())

        first.wait_for(is_halved)


def test_one_of_them_says_so_and_what_it_costs(pair: tuple[MonitoredWorker, MonitoredWorker]) -> None:
    first, second = pair

    second.wait_for(lambda: WARNING in first.log + second.log)

    (line,) = [line for line in (first.log + second.log).splitlines() if WARNING in line][:1]
    assert "inspect, control and Flower cannot tell them apart" in line
    assert "-n worker2@%h" in line


def test_a_worker_that_follows_a_killed_one_of_its_name_finds_nobody(environment: dict[str, str]) -> None:
    with MonitoredWorker(["--loglevel=DEBUG"], environment) as first:
        first.wait_for(lambda: NO_WARNING in first.log)
        first.signal(signal.SIGKILL)
        first.wait_for_exit()
    with MonitoredWorker(["--loglevel=DEBUG"], environment) as second:
        second.wait_for(lambda: NO_WARNING in second.log)
        assert WARNING not in second.log


def test_two_names_are_no_reason_for_a_warning(environment: dict[str, str]) -> None:
    with (
        MonitoredWorker(["-n", "one@%h"], environment) as first,
        MonitoredWorker(["-n", "two@%h", "--loglevel=DEBUG"], environment) as second,
    ):
        first.wait_until_ready()
        second.wait_for(lambda: NO_WARNING in second.log)
        assert WARNING not in first.log + second.log
