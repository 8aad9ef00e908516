"""How many workers some queues need, by what all of them hold."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
import redis

from config.groups import ScaleSettings
from examples.local_stack import LocalServer
from worker.endpoints.fleet import Announcement, read_announcements, worker_demand
from worker.scaling.rule import ScalingRule
from worker.workload.monitor import ObservedWorkload
from worker.workload.queue_depth import DepthSample, load_key, workers_key
from worker.workload.workload import Workload

QUEUES = ("celery", "text-classification")
RULE = ScalingRule(ScaleSettings(drain_s=2.0, utilization=0.8))


@pytest.fixture
def connected(server: LocalServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        client.flushdb()
        yield client
        client.flushdb()


def seen(workers: dict[str, int], waiting: dict[str, int]) -> ObservedWorkload:
    return ObservedWorkload(Workload(0.0, 0.0), DepthSample(0.0, waiting, {}, 0, workers, 0.0), held=0, held_s=0.0)


def announce(client: redis.Redis, name: str, queues: tuple[str, ...], held_s: float, *, ago_s: float = 0.0) -> None:
    for queue in queues:
        client.zadd(workers_key(queue), {name: time.time() - ago_s})
        client.expire(workers_key(queue), 60)
    told = {"queues": sorted(queues), "held_s": held_s, "arriving": 0.5}
    client.set(load_key(name), json.dumps(told), ex=60)


def test_only_workers_of_the_same_queues_that_were_heard_of_lately_count(connected: redis.Redis) -> None:
    announce(connected, "one", QUEUES, 1.0)
    announce(connected, "two", QUEUES, 2.0)
    announce(connected, "gone", QUEUES, 4.0, ago_s=30.0)
    announce(connected, "of another task", ("celery", "question-answering"), 8.0)
    announce(connected, "of both", (*QUEUES, "question-answering"), 16.0)
    connected.zadd(workers_key("text-classification"), {"silent so far": time.time()})

    found = read_announcements(connected, seen({"celery": 4, "text-classification": 3}, dict.fromkeys(QUEUES, 0)))

    assert sorted(worker.held_s for worker in found) == [1.0, 2.0]


def test_the_rule_takes_whole_queues_what_all_hold_and_what_arrives_for_all() -> None:
    found = worker_demand(
        seen({"celery": 2, "text-classification": 2}, {"celery": 0, "text-classification": 1000}),
        [Announcement(held_s=3.0, arriving=0.5), Announcement(held_s=1.0, arriving=1.5)],
        seconds_of=lambda _: 0.01,
        rule=RULE,
        processes_per_worker=4,
    )

    # 10 s wait and 4 s are held: 7 processes in 2 s, beside the 2 that keep up.
    assert (found["backlog_s"], found["held_s"], found["arriving"]) == (14.0, 4.0, 2.0)
    assert (found["processes_wanted"], found["workers_wanted"], found["workers"]) == (9, 3, 2)
    assert found["queues"]["text-classification"] == {"waiting": 1000, "oldest_s": None}


def test_a_queue_that_others_consume_too_is_shared_with_them() -> None:
    found = worker_demand(
        seen({"celery": 4, "text-classification": 1}, {"celery": 400, "text-classification": 0}),
        [Announcement(0.0, 0.0)],
        seconds_of=lambda _: 0.01,
        rule=RULE,
        processes_per_worker=1,
    )

    assert found["backlog_s"] == 1.0
    assert found["queues"]["celery"]["waiting"] == 400
