"""What is seen of the queues, against a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer
from producer.contract import SENT_AT_HEADER
from worker.transport import Connection
from worker.transport.dead_letters import NO_DEAD_LETTERS
from worker.workload.identity import WorkerIdentity
from worker.workload.queue_depth import DepthSampler, load_key, workers_key

QUEUES = ["celery", "text-classification"]


@pytest.fixture
def channel(own_server: LocalServer) -> Iterator[Any]:
    with Connection(own_server.url) as connection:
        yield connection.default_channel


ONE, OTHER = (WorkerIdentity.of_new_start("celery@here") for _ in range(2))


def sampler(identity: WorkerIdentity = ONE) -> DepthSampler:
    return DepthSampler(None, identity, lambda: QUEUES, lambda: 7.0)


def push(client: redis.Redis, name: str, ago_s: float | None, **headers: Any) -> None:
    """Put a message last, as senders do."""
    if ago_s is not None:
        headers[SENT_AT_HEADER] = time.time() - ago_s
    client.lpush(name, json.dumps({"body": "e30=", "headers": headers, "properties": {}}))


def test_all_lists_of_a_queue_count(own_redis: redis.Redis, channel: Any) -> None:
    for name in ("text-classification", "text-classification", "text-classification\x06\x163", "unrelated"):
        push(own_redis, name, None)
    own_redis.hset("unacked", mapping={"a": "1", "b": "2"})

    seen = sampler().sample(channel)

    assert seen.waiting == {"celery": 0, "text-classification": 3}
    assert seen.unacknowledged == 2
    assert seen.fetched_s == 7.0


def test_dead_letters_are_part_of_a_sample(channel: Any) -> None:
    assert sampler().sample(channel).dead == NO_DEAD_LETTERS
    channel.move_to_dead_letters("celery", "tag", b"junk", "not JSON")

    dead = sampler().sample(channel).dead

    assert (dead.kept, dead.buried, dead.dropped) == ({"malformed": 1}, {"malformed": 1}, {})
    assert dead.bytes > 0
    assert (dead.oldest_s or 0) < PATIENCE_S


def test_the_oldest_of_all_lists_has_the_age_that_its_header_says(own_redis: redis.Redis, channel: Any) -> None:
    for ago_s in (50.0, 1.0):
        push(own_redis, "text-classification", ago_s)
    push(own_redis, "text-classification\x06\x163", 20.0)

    (queue,) = seen = sampler().sample(channel).oldest_s

    assert queue == "text-classification"
    assert 50 <= seen[queue] < 80


@pytest.mark.parametrize(
    "headers",
    [{}, {SENT_AT_HEADER: "yesterday"}, {"argsrepr": f'"{SENT_AT_HEADER}": 1.0'}, {SENT_AT_HEADER: None}],
    ids=["none", "text", "another header's text", "null"],
)
def test_a_message_that_does_not_say_when_it_was_sent_has_no_age(
    own_redis: redis.Redis, channel: Any, headers: dict[str, Any]
) -> None:
    push(own_redis, "celery", None, **headers)

    assert sampler().sample(channel).oldest_s == {}


def test_workers_of_one_node_name_hear_of_each_other_and_what_they_say_expires(
    own_redis: redis.Redis, channel: Any
) -> None:
    own_redis.zadd(workers_key("celery"), {"gone@here": time.time() - 60})
    other = sampler(OTHER)
    other.announcement = "something"
    other.sample(channel)

    assert sampler().sample(channel).workers == {"celery": 2, "text-classification": 2}
    assert own_redis.get(load_key(str(OTHER))) == b"something"
    assert own_redis.get(load_key(str(ONE))) is None
    assert all(own_redis.ttl(key) > 0 for key in (load_key(str(OTHER)), *map(workers_key, QUEUES)))


def test_a_worker_of_a_version_that_tells_its_node_name_alone_is_counted(own_redis: redis.Redis, channel: Any) -> None:
    own_redis.zadd(workers_key("celery"), {ONE.node: time.time()})

    assert sampler().sample(channel).workers["celery"] == 2
