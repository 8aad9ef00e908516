"""A worker keeps what it holds as long as it lives, and loses it soon after: by leases, on the server's clock."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest
import redis

from examples.local_stack import LocalServer
from tests.worker.transport.helpers import PlainWorker, done, send

LEASE_S = 2.0
#: A test that needs the visibility timeout would not end within it.
LEASED = {"transport": {"visibility_timeout": 3600, "lease_s": LEASE_S}}


@pytest.fixture
def keys(own_server: LocalServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_server.url) as connected:
        yield connected


@pytest.fixture
def notes(own_server: LocalServer) -> Iterator[redis.Redis]:
    """Where tasks note that they ran, and wait for ``go``."""
    with redis.Redis.from_url(own_server.url.replace("/0", "/5")) as connected:
        yield connected


def leased_worker(server: LocalServer, name: str, pool: str = "threads") -> PlainWorker:
    """A worker whose lease is short. Its pool is one that stops quickly."""
    return PlainWorker(server.url, f"--pool={pool}", f"--hostname={name}", options=LEASED)


def lease_ends(keys: redis.Redis) -> list[float]:
    """When the leases end, on the server's clock."""
    found: Any = keys.zrange("unacked.leases", 0, -1, withscores=True)
    return [ends for _, ends in found]


def seconds(keys: redis.Redis) -> float:
    """The server's clock."""
    whole, millionths = keys.time()
    return float(whole) + float(millionths) / 1e6


def everything_is_settled(keys: redis.Redis) -> bool:
    return not keys.exists("celery", "unacked", "unacked_index")


def test_what_a_killed_worker_held_is_taken_back_once_its_lease_has_ended(
    own_server: LocalServer, keys: redis.Redis, notes: redis.Redis
) -> None:
    with ExitStack() as running:
        victim = running.enter_context(leased_worker(own_server, "first"))
        victim.wait_until_ready()
        send(own_server.url, range(12), task="wait")
        victim.wait_for(lambda: keys.hlen("unacked") == 12)
        # Started now, or it would take some of them itself.
        heir = running.enter_context(leased_worker(own_server, "heir"))
        heir.wait_until_ready()
        victim.signal(signal.SIGKILL)
        victim.wait_for_exit()
        notes.rpush("go", 1)
        heir.wait_for(lambda: set(done(own_server.url)) == set(range(12)))
        heir.wait_for(lambda: everything_is_settled(keys))
        assert "took back" in heir.log
        heir.wait_for(lambda: keys.zcard("unacked.leases") == 1 and not keys.exists("unacked.leases.ended"))
        assert len(list(keys.scan_iter("unacked.lease.*"))) == 1


@pytest.mark.parametrize("workers", [2, 3])
def test_a_request_waits_for_its_eta_in_one_worker_however_many_leases_that_takes(
    own_server: LocalServer, keys: redis.Redis, workers: int
) -> None:
    with ExitStack() as running:
        fleet = [running.enter_context(leased_worker(own_server, f"w{n}")) for n in range(workers)]
        for worker in fleet:
            worker.wait_until_ready()
        send(own_server.url, range(3), countdown=3 * LEASE_S)
        fleet[0].wait_for(lambda: done(own_server.url) == [0, 1, 2])
        fleet[0].wait_for(lambda: everything_is_settled(keys))
        received = sum(worker.log.count("received") for worker in fleet)
    assert received == 3
    assert done(own_server.url) == [0, 1, 2]


def test_a_task_may_block_the_event_loop_for_longer_than_the_lease(
    own_server: LocalServer, keys: redis.Redis, notes: redis.Redis
) -> None:
    with leased_worker(own_server, "first", pool="solo") as busy:
        busy.wait_until_ready()
        send(own_server.url, range(1), task="wait")
        busy.wait_for(lambda: keys.hlen("unacked") == 1)
        with leased_worker(own_server, "idle", pool="solo") as idle:
            idle.wait_until_ready()
            started_s = seconds(keys)
            idle.wait_for(lambda: seconds(keys) > started_s + 3 * LEASE_S)
            assert (keys.hlen("unacked"), keys.zcard("unacked.leases")) == (1, 2)
            notes.rpush("go", 1)
            idle.wait_for(lambda: everything_is_settled(keys))
            assert idle.log.count("received") == 0
    assert done(own_server.url) == [0]


def test_a_worker_that_was_stopped_for_longer_than_its_lease_has_lost_what_it_held(
    own_server: LocalServer, keys: redis.Redis, notes: redis.Redis
) -> None:
    with ExitStack() as running:
        stopped = running.enter_context(leased_worker(own_server, "first"))
        stopped.wait_until_ready()
        send(own_server.url, range(1), task="wait")
        stopped.wait_for(lambda: keys.hlen("unacked") == 1)
        stopped.signal(signal.SIGSTOP)
        heir = running.enter_context(leased_worker(own_server, "heir"))
        heir.wait_until_ready()
        heir.wait_for(lambda: "received" in heir.log)
        [entry] = cast("list[bytes]", keys.hvals("unacked"))
        stopped.signal(signal.SIGCONT)
        stopped.wait_for(lambda: "Connection to broker lost" in stopped.log)
        # It does not acknowledge what is the heir's now, and gets a lease again.
        stopped.wait_for(lambda: keys.zcard("unacked.leases") == 2)
        assert keys.hvals("unacked") == [entry]
        notes.rpush("go", 1)
        heir.wait_for(lambda: everything_is_settled(keys))
        send(own_server.url, range(1, 21))
        stopped.wait_for(lambda: set(done(own_server.url)) == set(range(21)))


def test_nobody_loses_anything_while_the_server_is_away(
    own_server: LocalServer, keys: redis.Redis, notes: redis.Redis
) -> None:
    with (
        leased_worker(own_server, "first") as busy,
        leased_worker(own_server, "other") as other,
    ):
        busy.wait_until_ready()
        other.wait_until_ready()
        send(own_server.url, range(1), task="wait")
        busy.wait_for(lambda: keys.hlen("unacked") == 1)
        ends_s = max(lease_ends(keys))
        own_server.pause()
        busy.wait_for(lambda: local_clock() > ends_s + LEASE_S)
        own_server.resume()
        busy.wait_for(lambda: min(lease_ends(keys)) > local_clock())
        assert keys.zcard("unacked.leases") == 2
        notes.rpush("go", 1)
        busy.wait_for(lambda: everything_is_settled(keys))
        assert "took back" not in busy.log + other.log
    assert done(own_server.url) == [0]


def local_clock() -> float:
    """The server runs on this machine, so this is its clock while it cannot be asked."""
    return time.time()
