"""What is fetched is recorded before it leaves its list, in kombu's own format."""

from __future__ import annotations

import json
from typing import Any

import kombu
import pytest
import redis

from examples.local_stack import PATIENCE_S
from tests.worker.transport.helpers import Looped, direct, publish
from worker.transport import Connection

BODY = {"text": 'quotes " and \\, ü, 日本, \U0001f600, \u2028', "n": [1, 2.5, None, True]}


def unacked(keys: redis.Redis) -> dict[bytes, bytes]:
    return dict(keys.hgetall("unacked"))  # type: ignore[arg-type]


def recorded_by(connection: type[kombu.Connection], url: str, keys: redis.Redis, queue: str) -> tuple[Any, float]:
    """The record of one message, and its time."""
    [before] = keys.lrange(queue, 0, -1)
    with Looped(url, queue, connection=connection) as looped:
        looped.until_received(1)
        [(tag, record)] = unacked(keys).items()
        score = keys.zscore("unacked_index", tag)
    assert isinstance(score, float)
    assert json.loads(record)[0] == json.loads(before)
    return json.loads(record), score


@pytest.mark.parametrize("queue", ["plain", 'ü/ö \\ "quoted"', "日本"])
def test_a_record_holds_what_stock_kombu_records(url: str, keys: redis.Redis, queue: str) -> None:
    publish(url, queue, BODY)
    ours, our_time = recorded_by(Connection, url, keys, queue)
    # Closing puts the message back, with a mark that it was delivered before.
    theirs, their_time = recorded_by(kombu.Connection, url, keys, queue)

    for record in (ours, theirs):
        record[0]["headers"].pop("redelivered", None)
        record[0]["properties"]["delivery_info"].pop("redelivered", None)
    assert ours == theirs
    assert ours[1:] == [queue, queue]
    assert their_time == pytest.approx(our_time, abs=60)


def test_a_message_leaves_no_trace_once_it_is_acknowledged(url: str, keys: redis.Redis) -> None:
    publish(url, "q", *range(10))
    with Looped(url, "q") as looped:
        looped.until_received(10)
        assert len(unacked(keys)) == keys.zcard("unacked_index") == 10
        looped.ack_all()
        looped.until_settled()
        assert not unacked(keys)
    assert not keys.exists("unacked", "unacked_index", "q")
    assert looped.received == list(range(10))


def test_what_is_not_acknowledged_is_back_on_its_queue_once_the_channel_closes(url: str, keys: redis.Redis) -> None:
    publish(url, "q", *range(5))
    with Looped(url, "q") as looped:
        looped.until_received(5)
        looped.messages[0].ack()
    assert keys.llen("q") == 4
    assert not keys.exists("unacked", "unacked_index")


def test_messages_of_a_queue_without_acknowledgements_are_not_recorded(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "a", "b")
    with Looped(url, "q", no_ack=True) as looped:
        looped.until_received(2)
        assert not keys.exists("unacked", "unacked_index", "q")


def test_a_rejected_message_is_dropped_or_comes_again(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "again", "never")
    with Looped(url, "q") as looped:
        looped.until_received(2)
        again, never = looped.messages
        never.reject()
        again.requeue()
        looped.until_received(3)
        assert looped.received[-1] == "again"
        looped.messages[-1].ack()
        looped.until_settled()
        assert not keys.exists("unacked", "unacked_index", "q")


def test_what_is_left_to_others_keeps_its_record_and_takes_no_credit(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "theirs")
    with Looped(url, "q", prefetch=1) as looped:
        looped.until_received(1)
        looped.channel.leave_to_others(looped.messages[0].delivery_tag)
        publish(url, "q", "ours")
        looped.until_received(2)
        looped.messages[1].ack()
        looped.until_settled()
    [record] = unacked(keys).values()
    assert record.endswith(b"]"), "no lease holds it"
    assert keys.zcard("unacked_index") == 1
    assert keys.llen("q") == 0


def test_what_a_stock_worker_held_is_taken_over_after_the_visibility_timeout(url: str, keys: redis.Redis) -> None:
    publish(url, "q", BODY)
    with Looped(url, "q", connection=kombu.Connection) as held:
        held.until_received(1)
        with Looped(url, "q", visibility_timeout=0, unacked_restore_throttle=1) as taker:
            taker.channel.qos.restore_visible(num=None, interval=1)
            taker.until_received(1)
            assert taker.received == [BODY]
            assert taker.messages[0].headers["redelivered"] is True
            taker.ack_all()
            taker.until(lambda: not keys.exists("unacked"))


def test_a_prefix_is_before_every_key(url: str, keys: redis.Redis) -> None:
    with Looped(url, "q", global_keyprefix="pre:") as looped:
        with looped.connection.Producer() as producer:
            producer.publish("a", exchange="q", routing_key="q", serializer="json")
        looped.until_received(1)
        assert keys.hlen("pre:unacked") == keys.zcard("pre:unacked_index") == 1
        keys.lpush("pre:q", b"junk")
        looped.until(lambda: keys.exists("pre:unacked.dead.letters"))
        looped.ack_all()
        looped.until_settled()
        looped.until_idle()
        names = [name.decode() for name in keys.keys("*")]  # type: ignore[union-attr]
    assert [name for name in names if not name.startswith("pre:")] == []


def test_basic_get_and_purge_are_as_in_stock_kombu(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "a", "b", "c")
    with Connection(url) as connection:
        queue = direct("q").bind(connection.default_channel)
        message = queue.get()
        assert message.payload == "a"
        assert keys.hlen("unacked") == 1
        message.ack()
        assert not keys.exists("unacked")
        assert queue.purge() == 2


def test_without_an_event_loop_messages_are_drained(url: str, keys: redis.Redis) -> None:
    received: list[Any] = []
    publish(url, "q", "a", "b")
    with Connection(url) as connection:
        channel = connection.default_channel
        with kombu.Consumer(channel, [direct("q")], accept=["json"], on_message=received.append):
            while len(received) < 2:
                connection.drain_events(timeout=PATIENCE_S)
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.05)
            publish(url, "q", "c")
            connection.drain_events(timeout=PATIENCE_S)
        assert [message.decode() for message in received] == ["a", "b", "c"]
        for message in received:
            message.ack()
        assert not keys.exists("unacked", "unacked_index")
