"""A channel that stops gives back what it holds in its order, and keeps what is worked on."""

from __future__ import annotations

import base64
import json

import redis

from tests.worker.transport.helpers import Looped, publish


def bodies(keys: redis.Redis) -> list[int]:
    """What is in the queue, the message that is taken next last."""
    return [json.loads(base64.b64decode(json.loads(raw)["body"])) for raw in keys.lrange("q", 0, -1)]


def test_all_but_what_is_kept_goes_back_in_order_and_the_kept_is_acknowledged(url: str, keys: redis.Redis) -> None:
    publish(url, "q", *range(5))
    with Looped(url, "q") as looped:
        looped.until_received(5)
        looped.consumer.cancel()
        kept = looped.messages[2]

        assert looped.channel.give_back({kept.delivery_tag}) == 4

        assert bodies(keys) == [4, 3, 1, 0]
        assert keys.hkeys("unacked") == [kept.delivery_tag.encode()]
        kept.ack()
        looped.messages.clear()
    assert not keys.exists("unacked", "unacked_index")
    assert bodies(keys) == [4, 3, 1, 0]


def test_what_was_fetched_and_not_delivered_goes_back_too(url: str, keys: redis.Redis) -> None:
    publish(url, "q", 0)
    with Looped(url, "q") as looped:
        looped.until_received(1)
        looped.until_idle()
        # The server wakes the consumer, whose call is sent; its reply is not read.
        publish(url, "q", 1, 2)
        looped.until(lambda: looped.channel.fetcher.fetch_connection.in_flight or len(looped.received) > 1)
        looped.consumer.cancel()

        looped.channel.give_back(())

        assert bodies(keys) == [2, 1, 0]
        assert not keys.exists("unacked", "unacked_index")


def test_with_nothing_to_give_back_nothing_happens(url: str, keys: redis.Redis) -> None:
    with Looped(url, "q") as looped:
        looped.until_idle()
        looped.consumer.cancel()
        assert looped.channel.give_back(()) == 0
    assert not keys.exists("q", "unacked", "unacked_index")
