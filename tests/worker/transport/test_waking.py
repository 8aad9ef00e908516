"""Idle consumers are woken by a push where the server offers it, and poll where it does not."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from examples.local_stack import PATIENCE_S
from tests.worker.transport.helpers import Looped, publish
from worker.transport import wake_up
from worker.transport.channel import Channel


def fetches(looped: Looped) -> int:
    return int(looped.channel.fetcher._token)


def sleeps(looped: Looped) -> bool:
    return (
        looped.channel.fetcher._wake_up.idle_registration is not None
        and looped.channel.fetcher.fetch_connection.in_flight is None
    )


def turn_all(consumers: list[Looped], condition: Any) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        for looped in consumers:
            looped.hub.call_later(0.002, int)
            looped.hub.run_once()


def test_an_idle_consumer_sends_nothing_until_a_message_comes(url: str) -> None:
    with Looped(url, "q", fetch_recheck=60) as looped:
        looped.until_idle()
        before = fetches(looped)
        for _ in range(5):
            looped.turn()
        assert fetches(looped) == before
        publish(url, "q", "a")
        looped.until_received(1)
        assert fetches(looped) == before + 1


@pytest.mark.parametrize("wake", ["one", "all"])
def test_every_message_comes_to_one_of_many_idle_consumers(
    url: str, wake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a slow machine the second in line would fetch before the first one wakes up.
    monkeypatch.setattr(wake_up, "_SECOND_IN_LINE_S", 60.0)
    with ExitStack() as stack:
        many = [stack.enter_context(Looped(url, "q", fetch_recheck=60, fetch_wake=wake)) for _ in range(8)]
        turn_all(many, lambda: all(map(sleeps, many)))
        before = sum(map(fetches, many))
        for n in range(16):
            publish(url, "q", n)
            turn_all(many, lambda: sum(len(looped.received) for looped in many) == n + 1)  # noqa: B023
            turn_all(many, lambda: all(map(sleeps, many)))
        spent = (sum(map(fetches, many)) - before) / 16
        assert sorted(n for looped in many for n in looped.received) == list(range(16))
        if wake == "one":
            assert spent < 3
            assert [len(looped.received) for looped in many] == [2] * 8, "each has its turn"


def test_the_place_of_a_dead_listener_is_taken_by_one_that_looks_by_itself(url: str) -> None:
    with Looped(url, "q", fetch_recheck=60) as dead, Looped(url, "q", fetch_recheck=0.5) as alive:
        dead.until_idle()
        alive.until_idle()
        publish(url, "q", "a")
        alive.until_received(1)
        publish(url, "q", "b")
        alive.until_received(2)
        assert dead.received == []


def test_a_consumer_that_leaves_rings_for_the_next(url: str) -> None:
    with Looped(url, "q", fetch_recheck=60) as stays:
        with Looped(url, "q", fetch_recheck=60) as first:
            first.until_idle()
            stays.until_idle()
            first.consumer.cancel()
            first.until(lambda: first.channel.fetcher._wake_up.idle_registration is None)
            first.turn()
            publish(url, "q", "a")
            stays.until_received(1)
        assert first.received == []


def test_consumers_of_other_queues_do_not_take_the_place(url: str) -> None:
    with Looped(url, "a", fetch_recheck=60) as one, Looped(url, "b", fetch_recheck=60) as other:
        one.until_idle()
        other.until_idle()
        publish(url, "b", "x")
        other.until_received(1)


def test_after_all_queues_were_cancelled_messages_stay_and_later_queues_are_consumed(
    url: str, keys: redis.Redis
) -> None:
    publish(url, "a", 1)
    with Looped(url, "a", "b", fetch_recheck=60) as looped:
        looped.until_received(1)
        looped.until_idle()
        looped.consumer.cancel()
        publish(url, "a", 2)
        for _ in range(5):
            looped.turn()
        assert looped.received == [1]
        assert keys.llen("a") == 1
        looped.ack_all()
        looped.until(lambda: not keys.exists("unacked"))
        looped.consumer.consume()
        looped.until_received(2)


def test_a_server_that_was_emptied_wakes_everybody(url: str, keys: redis.Redis) -> None:
    with Looped(url, "q", fetch_recheck=60) as looped:
        looped.until_idle()
        keys.flushall()
        publish(url, "q", "a")
        looped.until_received(1)


def test_a_user_that_may_not_track_polls(url: str, keys: redis.Redis) -> None:
    keys.acl_setuser("poller", enabled=True, passwords=["+pw"], keys="*", channels="*", categories=["+@all"])
    keys.execute_command("ACL", "SETUSER", "poller", "-client|tracking")
    with Looped(url.replace("redis://", "redis://poller:pw@"), "q") as looped:
        looped.until(lambda: looped.channel.fetcher._wake_up.poll_delay_s == Channel.fetch_poll_max)
        assert not looped.channel.fetcher.fetch_connection.is_tracking
        publish(url, "q", "a")
        looped.until_received(1)
        looped.ack_all()
        looped.until_settled()
    keys.acl_deluser("poller")


def test_polling_may_be_chosen(url: str, keys: redis.Redis) -> None:
    with Looped(url, "q", fetch_wake="poll") as looped:
        looped.until(lambda: looped.channel.fetcher._wake_up.poll_delay_s > 0)
        publish(url, "q", "a")
        looped.until_received(1)
    assert not keys.keys("unacked.idle.*")


def test_without_the_third_protocol_queues_are_polled(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = Channel._connparams
    monkeypatch.setattr(
        Channel, "_connparams", lambda channel, asynchronous=False: {**parameters(channel, asynchronous), "protocol": 2}
    )
    with Looped(url, "q") as looped:
        looped.until(lambda: looped.channel.fetcher._wake_up.poll_delay_s > 0)
        publish(url, "q", "a")
        looped.until_received(1)
