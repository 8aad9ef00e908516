"""Broadcasts are received from the moment a fanout queue is consumed."""

from __future__ import annotations

from typing import Any

import kombu

from tests.worker.transport.helpers import Looped


def news(name: str, channel: Any) -> kombu.Queue:
    return kombu.Queue(f"ears of {name}", kombu.Exchange(name, type="fanout"), auto_delete=True, channel=channel)


def broadcast(url: str, name: str, body: Any) -> None:
    with kombu.Connection(url) as connection, connection.channel() as channel:
        kombu.Producer(channel, kombu.Exchange(name, type="fanout")).publish(body, serializer="json")


def test_a_broadcast_before_the_first_turn_is_heard(url: str) -> None:
    with Looped(url, "q") as looped:
        looped.consumer.add_queue(news("first", looped.channel))
        looped.consumer.consume()
        broadcast(url, "first", "heard")
        looped.until_received(1)
    assert looped.received == ["heard"]


def test_a_fanout_queue_that_is_added_later_is_heard_as_well(url: str) -> None:
    with Looped(url, "q") as looped:
        looped.consumer.add_queue(news("first", looped.channel))
        looped.consumer.consume()
        looped.until_idle()
        looped.consumer.add_queue(news("second", looped.channel))
        looped.consumer.consume()
        for name in ("second", "first"):
            broadcast(url, name, name)
        looped.until_received(2)
    assert sorted(looped.received) == ["first", "second"]
