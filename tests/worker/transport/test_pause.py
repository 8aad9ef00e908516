"""A queue that is left to its other consumers for a while."""

from __future__ import annotations

from tests.worker.transport.helpers import Looped, publish


def test_a_paused_queue_is_not_read_while_others_are_and_is_read_again_afterwards(url: str) -> None:
    with Looped(url, "left", "read") as looped:
        looped.until_idle()
        looped.channel.pause("left", 3600)
        publish(url, "left", 1)
        publish(url, "read", 2)
        looped.until_received(1)
        looped.until_idle()
        assert looped.received == [2]

        looped.channel.pause("left", 0)
        looped.until_received(2)

        assert looped.received == [2, 1]
        looped.ack_all()
        looped.until_settled()


def test_a_consumer_of_one_paused_queue_alone_comes_back(url: str) -> None:
    with Looped(url, "left") as looped:
        looped.until_idle()
        looped.channel.pause("left", 0.2)
        publish(url, "left", 1)

        looped.until_received(1)

        looped.ack_all()
        looped.until_settled()
