"""Connections that end at the worst moment, or only seem alive: no message is lost or waits for a timeout."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from examples.local_stack import LocalServer
from tests.producer.proxy import proxy
from tests.worker.transport.helpers import Looped, publish

#: In a header, since bodies are base64 and pushes contain names of lists.
MARKED = {"mark": "marker"}
PATIENT: dict[str, Any] = {"visibility_timeout": 3600}


class Scissors:
    """Cuts the connection instead of passing on the next reply that contains certain bytes."""

    def __init__(self) -> None:
        self.before: bytes | None = None
        self.cut = threading.Event()

    def __call__(self, piece: bytes) -> bytes | None:
        if self.before is not None and self.before in piece:
            self.before = None
            self.cut.set()
            return None
        return piece


@pytest.fixture
def scissors() -> Scissors:
    return Scissors()


@pytest.fixture
def cut_url(broker: LocalServer, scissors: Scissors) -> Iterator[str]:
    """The emptied server, through the scissors."""
    with proxy(broker, replies=scissors) as cut:
        yield cut


def turn_until_lost(looped: Looped) -> None:
    with pytest.raises((RedisConnectionError, ConnectionError)):
        looped.until(lambda: False)


def test_what_a_lost_reply_had_recorded_comes_at_once_on_the_next_channel(
    url: str, cut_url: str, keys: redis.Redis, scissors: Scissors
) -> None:
    with Looped(cut_url, "q", **PATIENT) as first:
        first.until_idle()
        scissors.before = b"marker"
        publish(url, "q", "first", "second", headers=MARKED)
        turn_until_lost(first)
        assert first.received == []
        assert keys.hlen("unacked") >= 1, "the script ran"
    with Looped(cut_url, "q", **PATIENT) as second:
        second.until_received(2)
        assert sorted(second.received) == ["first", "second"]
        second.ack_all()
        second.until_settled()
    assert not keys.exists("q", "unacked", "unacked_index")


def test_a_channel_that_reconnects_by_itself_takes_back_what_was_lost(
    url: str, cut_url: str, scissors: Scissors
) -> None:
    with Looped(cut_url, "q", **PATIENT) as looped:
        looped.until_idle()
        scissors.before = b"marker"
        publish(url, "q", "a", headers=MARKED)
        turn_until_lost(looped)
        assert looped.received == []
        looped.until_received(1)
        assert looped.received == ["a"]


def test_a_fetch_that_never_ran_takes_nothing_back_that_is_being_worked_on(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "a")
    with Looped(url, "q", **PATIENT) as looped:
        looped.until_received(1)
        looped.until_idle()
        looped.channel.unsettled.lost_fetches.append((looped.channel.fetcher.fetch_connection.consumer_id, 10**6))
        looped.channel.fetcher._wake_up.reset()
        looped.until(lambda: not looped.channel.unsettled)
        looped.turn()
        assert looped.received == ["a"]
        assert keys.hlen("unacked") == 1


def test_acknowledgements_that_were_under_way_are_sent_again(url: str, cut_url: str, keys: redis.Redis) -> None:
    publish(url, "q", *range(3))
    with Looped(cut_url, "q", **PATIENT) as looped:
        looped.until_received(3)
        looped.until_idle()
        looped.ack_all()
        looped.turn()
        looped.channel.fetcher._on_lost(looped.channel.fetcher.fetch_connection.in_flight)
        looped.channel.fetcher.fetch_connection.in_flight = None
        looped.channel.fetcher.fetch_connection.disconnect()
        looped.until(lambda: not keys.exists("unacked"))
    assert not keys.exists("q", "unacked", "unacked_index")


def test_an_acknowledgement_after_its_channel_closed_goes_with_the_next_channel(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "a")
    with Looped(url, "q", **PATIENT) as looped:
        looped.until_received(1)
        message = looped.messages[0]
        looped.channel.qos._delivered.clear()  # so that closing does not put it back
    assert keys.hlen("unacked") == 1
    message.ack()
    with Looped(url, "q", **PATIENT) as heir:
        heir.until(lambda: not keys.exists("unacked", "unacked_index"))


def test_what_a_channel_held_when_its_server_went_is_put_back_by_the_next(own_server: LocalServer) -> None:
    url = own_server.url
    publish(url, "q", "a", "b")
    looped = Looped(url, "q", **PATIENT)
    looped.until_received(2)
    looped.messages[0].ack()
    own_server.stop()
    with suppress(OSError, RedisConnectionError):
        looped.turn()
    with suppress(OSError, RedisConnectionError):
        looped.close()
    own_server.start()
    with Looped(url, "q", **PATIENT) as heir, redis.Redis.from_url(url) as keys:
        heir.until_received(1)
        heir.until(lambda: keys.hlen("unacked") == 1)
        assert heir.received == ["b"]
        assert not heir.channel.unsettled


def test_a_call_that_cannot_be_sent_again_after_a_flush_of_scripts_keeps_its_acknowledgements(
    url: str, keys: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(url, "q", *range(3))
    with Looped(url, "q", **PATIENT) as looped:
        looped.until_received(3)
        looped.until_idle()
        connection = looped.channel.client.connection
        send = connection.send_command

        def send_but_no_whole_script(*arguments: Any, **options: Any) -> None:
            if arguments[0] == "EVAL":
                connection.disconnect()
                raise RedisConnectionError("cut")
            send(*arguments, **options)

        monkeypatch.setattr(connection, "send_command", send_but_no_whole_script)
        keys.script_flush()
        looped.ack_all()
        turn_until_lost(looped)
        monkeypatch.undo()
        looped.until(lambda: not keys.exists("unacked", "unacked_index"))


def test_after_a_flush_of_scripts_everything_goes_on(url: str, keys: redis.Redis) -> None:
    with Looped(url, "q") as looped:
        for n in range(3):
            keys.script_flush()
            publish(url, "q", n)
            looped.until_received(n + 1)
            looped.ack_all()
            looped.until_settled()
        assert looped.received == [0, 1, 2]
        assert not keys.exists("unacked")


def test_killed_connections_lose_nothing_however_often(url: str, keys: redis.Redis) -> None:
    seen: set[int] = set()
    for n in range(10):
        publish(url, "q", *range(n * 10, n * 10 + 10))
        looped = Looped(url, "q", prefetch=4, **PATIENT)
        with suppress(RedisConnectionError, OSError):
            if n % 2:
                looped.until_received(2)
                looped.ack_all()
            keys.client_kill_filter(_type="normal", skipme=True)
            for _ in range(3):
                looped.turn()
        seen.update(looped.received)
        with suppress(RedisConnectionError, OSError):
            looped.close()
    with Looped(url, "q", **PATIENT) as last:
        while len(seen) < 100:
            last.turn()
            seen.update(last.received)
            last.ack_all()
        last.until(lambda: not keys.exists("q", "unacked"))


def test_a_server_that_refuses_is_a_lost_connection_and_not_the_end(own_server: LocalServer) -> None:
    url = own_server.url
    publish(url, "q", "a", "b")
    with redis.Redis.from_url(url) as keys, Looped(url, "q", prefetch=1, **PATIENT) as looped:
        looped.until_received(1)
        keys.config_set("maxmemory", "1")
        looped.channel.basic_qos(0, 2, True)
        with pytest.raises(RedisConnectionError, match="refused to fetch"):
            looped.until(lambda: False)
        keys.config_set("maxmemory", "0")
        looped.until_received(2)
        assert looped.received == ["a", "b"]


def test_a_connection_that_no_longer_answers_is_dropped_and_made_anew(
    own_server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    url = own_server.url
    with Looped(url, "q", health_check_interval=4, socket_timeout=4) as looped:
        looped.until_idle()
        own_server.pause()
        try:
            looped.channel.fetcher._wake_up.reset()
            with pytest.raises(RedisTimeoutError):
                looped.until(lambda: False)  # dropped, and the next connection does not answer either
            assert "has not answered a fetch" in caplog.text
        finally:
            own_server.resume()
        publish(url, "q", "a")
        looped.until_received(1)
