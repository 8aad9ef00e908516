"""By which lease a message is held, and what becomes of it when that lease ends; see also the test of whole workers."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import kombu
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from examples.local_stack import LocalServer
from tests.worker.transport.helpers import Looped, direct, publish
from worker.transport.dead_envelope import split_record
from worker.transport.keys import Keys
from worker.transport.lease import Lease, LeaseLostError
from worker.transport.lease_mark import mark_of
from worker.transport.put_back import put_back
from worker.transport.take_back import _SOURCE, TakeBack

KEYS = Keys.of_prefix()
#: A lease is renewed five times in this time.
QUICK: dict[str, Any] = {"lease_s": 1, "visibility_timeout": 3600, "fetch_recheck": 0.5}
DEAD = "4000000000 host:1 dead"
FETCHED_AT_S = time.time()


def envelope(tag: str) -> str:
    info = {"exchange": "", "routing_key": "q"}
    properties = {"delivery_tag": tag, "delivery_info": info, "body_encoding": "base64"}
    return json.dumps({"body": "MQ==", "headers": {}, "content-type": "application/json", "properties": properties})


def hold(keys: redis.Redis, lease: str, tags: Sequence[str], after_s: float = 0.0) -> None:
    """Record messages as held by a lease, without one as stock kombu does, so long after the others."""
    with keys.pipeline() as pipe:
        for tag in tags:
            pipe.hset("unacked", tag, f'[{envelope(tag)}, "", "q"]{mark_of(lease)}')
            pipe.zadd("unacked_index", {tag: FETCHED_AT_S + after_s})
        pipe.execute()


def end(keys: redis.Redis, *leases: str) -> None:
    keys.zadd("unacked.leases.ended", dict.fromkeys(leases, 1.0))


def lease_that_knows(*ended: str) -> Lease:
    """The lease of a process whose last renewal has found that others have ended."""
    lease = Lease()
    lease.ended = ended
    return lease


def own_lease(looped: Looped) -> str:
    name: str = looped.channel.fetcher.lease.name
    return name


def record(keys: redis.Redis) -> bytes:
    """The only record."""
    found: list[Any] = keys.hvals("unacked")
    assert len(found) == 1
    return bytes(found[0])


# -- the mark of a lease in a record


@given(st.sets(st.integers(1, 2**32 - 1), min_size=2, max_size=5))
def test_each_lease_has_a_mark_of_its_own_that_json_skips(numbers: set[int]) -> None:
    marks = {mark_of(f"{number} host:1") for number in numbers}
    assert len(marks) == len(numbers)
    for mark in marks:
        assert len(mark) == 16
        assert json.loads(f'[{{}}, "", "q"]{mark}') == [{}, "", "q"]
        assert split_record(f'[{{ }}, "", "q"]{mark}'.encode()) == (b"{ }", "", "q")


def test_without_a_lease_there_is_no_mark() -> None:
    assert mark_of("") == ""


def test_what_is_fetched_is_marked_and_a_stock_consumer_can_read_it(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "held")
    with Looped(url, "q", **QUICK) as looped:
        looped.until_received(1)
        assert record(keys).endswith(b"]" + mark_of(own_lease(looped)).encode())
        tag = looped.messages[0].delivery_tag
        with Looped(url, "other", connection=kombu.Connection) as stock:
            stock.channel.qos.restore_by_tag(tag)
        looped.until_received(2)
        assert looped.received == ["held", "held"]


def test_a_message_that_is_got_is_held_by_the_lease_of_its_channel(url: str, keys: redis.Redis) -> None:
    publish(url, "got", 1)
    with Looped(url, "q", **QUICK) as looped:
        looped.until_idle()
        message = direct("got").bind(looped.channel).get()
        assert record(keys).endswith(b"]" + mark_of(own_lease(looped)).encode())
        message.requeue()
        assert keys.llen("got") == 1
    assert not keys.exists("unacked", "unacked_index")


# -- a good lease


def test_a_lease_has_a_key_as_long_as_it_is_good(url: str, keys: redis.Redis) -> None:
    with Looped(url, "q", **QUICK) as looped:
        name = own_lease(looped)
        assert keys.get(KEYS.lease(name)) == name.encode()
        assert keys.zrange("unacked.leases", 0, -1) == [name.encode()]
    assert sorted(keys.scan_iter("unacked*")) == [b"unacked.leases.last"]


def test_what_a_lost_reply_has_recorded_is_renewed_too(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "held", "lost")
    with Looped(url, "q", lease_s=1, visibility_timeout=1) as looped:
        looped.until_received(2)
        before = keys.zrange("unacked_index", 0, -1, withscores=True)
        # As when the event loop is kept from reading: the process does not know the tags.
        looped.channel.qos.forget_all()
        looped.until(lambda: not set(keys.zrange("unacked_index", 0, -1, withscores=True)) & set(before))
        looped.until(lambda: keys.pttl(KEYS.record(looped.channel.fetcher.fetch_connection.consumer_id)) > 0)


def test_a_number_that_is_given_again_does_not_make_an_old_lease_good(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "held")
    with Looped(url, "q", **QUICK) as looped:
        looped.until_received(1)
        first = own_lease(looped)
        keys.set(KEYS.lease(first), "another process has this number now")
        looped.ack_all()
        # Not acknowledged: it is taken back, and comes again.
        looped.until_received(2)
        assert own_lease(looped) != first
        assert keys.get(KEYS.lease(first)) == b"another process has this number now"


def test_a_lease_whose_key_is_gone_has_ended_and_what_it_held_is_taken_back(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "held")
    with Looped(url, "q", **QUICK) as looped:
        looped.until_received(1)
        first = own_lease(looped)
        keys.delete(KEYS.lease(first))
        with pytest.raises(LeaseLostError):
            looped.until(lambda: False)
    with Looped(url, "q", **QUICK) as heir:
        heir.until_received(1)
        assert own_lease(heir) != first
        heir.until(lambda: not keys.exists("unacked.leases.ended"))
        heir.ack_all()
        heir.until_settled()


def test_what_a_closed_channel_held_is_put_back_by_a_channel_that_has_no_lease(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "held")
    with Looped(url, "q", **QUICK) as closed:
        closed.until_received(1)
        closed.consumer.cancel()
        closed.channel.unsettled.held.extend(closed.channel.qos.held_tags())
        closed.channel.qos.forget_all()
        with Looped(url, "broadcasts", no_ack=True, **QUICK) as other:
            other.until(lambda: keys.llen("q") == 1)
    assert not keys.exists("unacked", "unacked_index")


# -- an ended lease


def test_only_what_ended_leases_held_is_taken_back_however_many_records_there_are(url: str, keys: redis.Redis) -> None:
    other = "4000000001 host:2 dead"
    # More than one page with the same score, and records of others on every page.
    hold(keys, DEAD, [f"a{n}" for n in range(1200)])
    hold(keys, "", [f"b{n}" for n in range(1200)], 2.0)
    hold(keys, "4000000002 host:3 alive", [f"c{n}" for n in range(50)], 2.0)
    hold(keys, other, [f"d{n}" for n in range(50)], 3.0)
    with Looped(url, "elsewhere", **QUICK) as looped:
        end(keys, DEAD, other)
        looped.until(lambda: not keys.exists("unacked.leases.ended"))
    assert keys.llen("q") == len(set(keys.lrange("q", 0, -1))) == 1250
    assert keys.hlen("unacked") == keys.zcard("unacked_index") == 1250
    left: list[Any] = keys.hkeys("unacked")
    assert {tag[:1] for tag in left} == {b"b", b"c"}


def search(keys: redis.Redis, *place: bytes | str, me: str = "me", leases: Sequence[str] = (DEAD,)) -> list[Any]:
    named = [text for lease in leases for text in (lease, mark_of(lease))]
    names = [KEYS.ended_leases, KEYS.search, KEYS.unacked_index, KEYS.unacked]
    found: Any = keys.eval(_SOURCE, len(names), *names, me, 60_000, *(place or ("", "")), *named)
    return list(found)


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("apart_s", [0.0, 1.0])
def test_a_search_misses_nothing_while_records_come_and_go(keys: redis.Redis, gone: bool, apart_s: float) -> None:
    tags = [f"{n:04}" for n in range(2500)]
    for n, tag in enumerate(tags):
        hold(keys, DEAD if n % 5 == 0 else "", [tag], n * apart_s)
    end(keys, DEAD)
    found, place, pages = set(), [b"", b""], 0
    while pages == 0 or any(place):
        state, *place_and_found = search(keys, *place)
        place, seen = place_and_found[:2], place_and_found[2:]
        assert state == 1
        found.update(seen[1::2])
        pages += 1
        if gone and place[1]:
            # The last place that was read moves to the end, and one that was read before is acknowledged.
            keys.zadd("unacked_index", {place[1]: FETCHED_AT_S + 10_000})
            keys.hdel("unacked", "0001")
            keys.zrem("unacked_index", "0001")
        hold(keys, "", [f"new{pages}"], 20_000)
    assert found == {tag.encode() for tag in tags[::5]}
    assert pages >= 3


def test_large_records_end_a_page_early(keys: redis.Redis) -> None:
    for n in range(100):
        keys.hset("unacked", str(n), f'["{"x" * 100_000}", "q", "q"]{mark_of(DEAD)}')
        keys.zadd("unacked_index", {str(n): n})
    end(keys, DEAD)
    state, score, tag, *found = search(keys)
    assert (state, score, tag) == (1, b"15", b"15")
    assert found[1::2] == [str(n).encode() for n in range(16)]


def test_one_consumer_searches_at_a_time_and_only_for_leases_that_have_ended(keys: redis.Redis) -> None:
    hold(keys, DEAD, ["a"])
    assert search(keys) == [-1]
    end(keys, DEAD)
    assert search(keys, me="first") == [1, b"", b"", 1, b"a"]
    assert search(keys, me="second") == [0]
    assert search(keys, me="first") == [1, b"", b"", 1, b"a"]
    assert 0 < keys.pttl(KEYS.search) <= 60_000


def test_a_message_that_others_have_by_now_is_not_put_back(url: str, keys: redis.Redis) -> None:
    with Looped(url, "elsewhere", **QUICK) as looped:
        for holder in ("", "4000000002 host:3 alive"):
            hold(keys, holder, ["a"])
            assert put_back(looped.channel, ["a"], DEAD) == 0
            assert keys.hlen("unacked") == 1
        hold(keys, DEAD, ["a"])
        assert put_back(looped.channel, ["a"], "") == 0
        assert put_back(looped.channel, ["a"], DEAD) == 1
        assert put_back(looped.channel, ["a"], DEAD) == 0
    assert keys.llen("q") == 1
    assert not keys.exists("unacked", "unacked_index")


def test_two_that_take_back_at_once_move_each_message_once(url: str, keys: redis.Redis) -> None:
    """Each is stopped between what it has found and what it does about that, for longer than it may search alone."""
    hold(keys, DEAD, [f"{n:04}" for n in range(300)])
    with Looped(url, "elsewhere", **QUICK) as looped:
        channel = looped.channel
        end(keys, DEAD)
        both = [bytes(tag) for tag in search(keys)[4::2]]
        terms = channel.fetcher.lease._joined[1]
        assert put_back(channel, both[:100], DEAD) == 100
        keys.delete(KEYS.search)
        one = lease_that_knows(DEAD)
        TakeBack(channel).work(one, terms, "another")
        assert put_back(channel, both, DEAD) == 0
        assert len(one.ended) == 0
    assert keys.llen("q") == len(set(keys.lrange("q", 0, -1))) == 300
    assert not keys.exists("unacked", "unacked_index", "unacked.leases.ended")


def test_what_is_taken_back_comes_in_the_order_in_which_it_was_fetched(url: str, keys: redis.Redis) -> None:
    for n in range(20):
        hold(keys, DEAD, [str(n)], n)
    with Looped(url, "elsewhere", **QUICK) as looped:
        end(keys, DEAD)
        looped.until(lambda: not keys.exists("unacked.leases.ended"))
    tags = [int(json.loads(raw)["properties"]["delivery_tag"]) for raw in keys.lrange("q", 0, -1)]
    assert tags == list(range(19, -1, -1)), "the one that is taken next is last"


def test_a_full_server_delays_the_return_of_messages_and_loses_none(own_server: LocalServer) -> None:
    with redis.Redis.from_url(own_server.url) as keys, Looped(own_server.url, "elsewhere", **QUICK) as looped:
        hold(keys, DEAD, [f"{n:03}" for n in range(50)])
        end(keys, DEAD)
        keys.config_set("maxmemory", "1")
        take_back, terms = TakeBack(looped.channel), looped.channel.fetcher.lease._joined[1]
        one = lease_that_knows(DEAD)
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            take_back.work(one, terms, "me")
        assert (keys.hlen("unacked"), keys.llen("q"), len(one.ended)) == (50, 0, 1)
        keys.config_set("maxmemory", "0")
        take_back.work(one, terms, "me")
        assert (keys.hlen("unacked"), keys.llen("q"), len(one.ended)) == (0, 50, 0)


# -- the last channel closes


def test_a_lease_that_may_hold_one_of_many_records_is_looked_at_by_the_next_consumer(
    url: str, keys: redis.Redis
) -> None:
    with Looped(url, "elsewhere", **QUICK) as looped:
        hold(keys, "", [f"{n:04}" for n in range(1500)])
        hold(keys, own_lease(looped), ["left"], 2.0)
        lease = looped.channel._lease
    assert (lease.grant, keys.zcard("unacked.leases.ended")) == (None, 1)
    assert not list(keys.scan_iter("unacked.lease.*"))
    with Looped(url, "elsewhere", **QUICK) as heir:
        heir.until(lambda: not keys.exists("unacked.leases.ended"))
    assert keys.llen("q") == 1


def test_a_lease_that_still_holds_something_stays_for_who_acknowledges_it_later(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "a")
    with Looped(url, "q", **QUICK) as looped:
        looped.until_received(1)
        message, name = looped.messages[0], own_lease(looped)
        looped.channel.qos._delivered.clear()  # so that closing does not put it back
    assert keys.exists(KEYS.lease(name))
    message.ack()
    with Looped(url, "q", **QUICK) as heir:
        assert own_lease(heir) == name
        heir.until(lambda: not keys.exists("unacked", "unacked_index"))
