"""The order of messages when one call takes many."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.scheduling import cycle_by_name

from tests.worker.transport.helpers import Looped, publish
from worker.intake.queue_order import InteractiveFirst
from worker.transport.admission import Credit
from worker.transport.read_order import level_order

A, B = "text-classification", "question-answering"
A_BULK, B_BULK = f"{A}.bulk", f"{B}.bulk"
STEPS = [0, 3, 6, 9]


def cycle(name: str, *queues: str) -> Any:
    made = cycle_by_name(name)()
    made.update(queues)
    return made


def read(looped: Looped, count: int) -> list[Any]:
    looped.until_received(count)
    return looped.received


@pytest.mark.parametrize("strategy", ["round_robin", "sorted", "priority"])
def test_stock_orders_read_all_queues_of_one_priority_before_the_next_as_brpop_does(strategy: str) -> None:
    order = level_order(cycle(strategy, "b", "a"), ["b", "a"], STEPS)
    assert order.queues == (("a", "b") if strategy == "sorted" else ("b", "a"))
    assert order.levels == tuple((step, 0, 2) for step in STEPS)
    assert order.fair is (strategy == "round_robin")


def test_interactive_queues_are_read_to_their_lowest_priority_before_bulk_ones() -> None:
    order = level_order(InteractiveFirst([A_BULK, A, B]), [A_BULK, A, B], STEPS)
    assert order.queues == (A, B, A_BULK)
    assert order.levels == (*((step, 0, 2) for step in STEPS), *((step, 2, 1) for step in STEPS))
    assert order.fair


@given(
    st.sets(st.sampled_from([A, B, A_BULK, B_BULK, "celery", "other"])), st.sampled_from(["own", "sorted", "priority"])
)
def test_every_queue_is_read_once_at_every_priority(queues: set[str], strategy: str) -> None:
    made = InteractiveFirst(queues) if strategy == "own" else cycle(strategy, *queues)
    order = level_order(made, list(queues), STEPS)
    seen = [(p, q) for p, first, size in order.levels for q in order.queues[first : first + size]]
    assert sorted(seen) == sorted((p, q) for p in STEPS for q in queues)


def test_higher_priorities_come_first(url: str) -> None:
    for priority in (9, 3, 0, 6):
        publish(url, "q", f"{priority}a", f"{priority}b", priority=priority)
    with Looped(url, "q", prefetch=3) as looped:
        looped.until_received(3)
        while len(looped.received) < 8:
            looped.ack_all()
            looped.turn()
    assert looped.received == ["0a", "0b", "3a", "3b", "6a", "6b", "9a", "9b"]


def test_an_interactive_message_overtakes_all_bulk_whatever_the_priorities(url: str) -> None:
    publish(url, A_BULK, *range(20), priority=0)
    publish(url, A, "one", "two", priority=9)
    with Looped(
        url, A_BULK, A, queue_order_strategy="worker.intake.queue_order:InteractiveFirst", prefetch=64
    ) as looped:
        assert read(looped, 22) == ["one", "two", *range(20)]


def test_in_turn_each_queue_gets_a_share_of_one_call(url: str) -> None:
    publish(url, "a", *["a"] * 40)
    publish(url, "b", *["b"] * 40)
    with Looped(url, "a", "b", prefetch=16 * 10) as looped:
        first = read(looped, 10)[:10]
    assert first.count("a") == first.count("b") == 5


def test_in_order_of_priority_the_first_queue_is_emptied_before_the_next(url: str) -> None:
    publish(url, "b", *["b"] * 5)
    publish(url, "a", *["a"] * 40)
    with Looped(url, "a", "b", queue_order_strategy="sorted") as looped:
        assert read(looped, 45) == ["a"] * 40 + ["b"] * 5


def test_no_more_is_held_than_the_prefetch_allows(url: str, keys: redis.Redis) -> None:
    publish(url, "q", *range(30))
    with Looped(url, "q", prefetch=7) as looped:
        looped.until_received(7)
        for _ in range(3):
            looped.turn()
        assert looped.received == list(range(7))
        assert keys.hlen("unacked") == 7
        looped.messages.pop(0).ack()
        looped.until_received(8)
        while looped.messages:
            looped.ack_all()
            looped.until_settled()
            looped.turn()
    assert looped.received == list(range(30))


def test_a_check_that_somebody_wrapped_is_asked_before_each_message(url: str, keys: redis.Redis) -> None:
    publish(url, "q", *range(5))
    with Looped(url, "q") as looped:
        looped.channel.qos.can_consume = lambda: len(looped.received) < 2
        looped.until_received(2)
        for _ in range(3):
            looped.turn()
        assert looped.received == [0, 1]
        assert keys.llen("q") == 3


class BytesAdmission:
    """Admits messages while the bodies of those held are below a limit."""

    def __init__(self, looped: Looped, limit_bytes: int) -> None:
        self._looped, self._limit_bytes = looped, limit_bytes

    def credit(self) -> Credit:
        return Credit(body_bytes=self._limit_bytes - sum(len(message.body) for message in self._looped.messages))


def test_an_admission_that_says_how_many_bytes_may_be_fetched_gets_a_batch_of_them(url: str, keys: redis.Redis) -> None:
    body = "x" * 100
    publish(url, "q", *[body] * 30)
    room = 20 * len(json.dumps(body))
    assert len(keys.lindex("q", 0)) > 3 * room / 20, "most of a small message is its envelope"  # type: ignore[arg-type]
    with Looped(url, "q", prefetch=512) as looped:
        looped.channel.admit_by(BytesAdmission(looped, room))
        looped.until_received(20)
        for _ in range(3):
            looped.turn()
        assert len(looped.received) == 20
        assert looped.channel.fetcher.fetches == 1
        assert not looped.channel.qos.can_consume()
        looped.messages.pop(0).ack()
        assert looped.channel.qos.can_consume()


def test_a_check_that_somebody_wrapped_is_asked_beside_an_admission(url: str, keys: redis.Redis) -> None:
    publish(url, "q", *range(5))
    with Looped(url, "q") as looped:
        looped.channel.admit_by(BytesAdmission(looped, 4))
        own = looped.channel.qos.can_consume
        looped.channel.qos.can_consume = lambda: own() and len(looped.received) < 2
        looped.until_received(2)
        for _ in range(3):
            looped.turn()
        assert looped.received == [0, 1]
        looped.channel.qos.can_consume = own
        looped.until_received(4)
        for _ in range(3):
            looped.turn()
        assert looped.received == [0, 1, 2, 3]
        assert keys.llen("q") == 1


def test_a_message_over_the_limit_of_bytes_comes_alone(url: str) -> None:
    publish(url, "q", "x" * 5000, "y" * 5000, "z")
    with Looped(url, "q", fetch_bytes=100) as looped:
        looped.until_received(3)
        assert [body[0] for body in looped.received] == ["x", "y", "z"]
