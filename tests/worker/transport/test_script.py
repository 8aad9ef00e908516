"""The script by itself: it refuses arguments that do not fit, always ends, and leaves nothing half done."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.worker.transport.helpers import DEAD_LETTER_BOUNDS, dead_letters
from worker.transport.admission import Credit
from worker.transport.dead_letters import DropReason
from worker.transport.keys import Keys
from worker.transport.read_order import Level, LevelOrder, ReadPlan
from worker.transport.script import SOURCE, Fetch, FetchLimits, FetchReply

KEYS = Keys("unacked_index", "unacked", "")
LIMITS = FetchLimits(10**6, 3600.0, 20.0, DEAD_LETTER_BOUNDS)
ACK = Fetch("me", 1, LIMITS)


def read_plan(*queues: str, fair: bool = True) -> ReadPlan:
    return ReadPlan(LevelOrder(queues, (Level(0, 0, len(queues)),), fair=fair), queues, "")


ONE = replace(ACK, credit=Credit(10), reads=read_plan("q"))


def call(keys: redis.Redis, fetch: Fetch) -> FetchReply:
    return FetchReply.parse(keys.eval(SOURCE, fetch.key_count, *fetch.arguments(KEYS)), fetch)


def message(tag: str, **more: Any) -> str:
    info = {"exchange": "", "routing_key": "q"}
    return json.dumps({"body": "", "properties": {"delivery_tag": tag, "delivery_info": info}, **more})


def test_a_call_without_queues_only_acknowledges(keys: redis.Redis) -> None:
    keys.hset("unacked", mapping={"a": "x", "b": "x"})
    keys.zadd("unacked_index", {"a": 1, "b": 1})
    reply = call(keys, replace(ACK, credit=Credit(10), acks=("a", "never seen")))
    assert (reply.idle_position, reply.messages, reply.dead_letters) == (-1, [], [])
    assert keys.hkeys("unacked") == keys.zrange("unacked_index", 0, -1) == [b"b"]


def test_thousands_of_acknowledgements_fit_one_call(keys: redis.Redis) -> None:
    tags = [str(n) for n in range(5000)]
    keys.hset("unacked", mapping=dict.fromkeys(tags, "x"))
    call(keys, replace(ACK, acks=tags))
    assert not keys.exists("unacked")


def test_without_credit_nothing_is_taken(keys: redis.Redis) -> None:
    keys.lpush("q", message("a"))
    assert call(keys, replace(ONE, credit=Credit(0))).messages == []
    assert keys.llen("q") == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.data())
def test_arguments_that_do_not_fit_are_refused_and_change_nothing(keys: redis.Redis, data: st.DataObject) -> None:
    keys.delete("q")
    keys.lpush("q", message("a"))
    count, rest = ONE.key_count, list(ONE.arguments(KEYS))
    cut = data.draw(st.integers(1, len(rest) - count))
    with pytest.raises(redis.ResponseError):
        keys.eval(SOURCE, count, *rest[:-cut])
    with pytest.raises(redis.ResponseError):
        keys.eval(SOURCE, count, *rest, *["1"] * cut)
    assert keys.llen("q") == 1
    assert not keys.exists("unacked")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    credit=st.integers(1, 80),
    max_bytes=st.sampled_from([1, 500, 5000, 10**6]),
    room_bytes=st.sampled_from([1, 30, 300, 10**6]),
    fair=st.booleans(),
)
def test_every_message_is_on_its_list_or_recorded_and_given_out(
    keys: redis.Redis, sizes: list[int], credit: int, max_bytes: int, room_bytes: int, fair: bool
) -> None:
    keys.flushdb()
    queues = tuple(f"q{n}" for n in range(len(sizes)))
    for queue, size in zip(queues, sizes, strict=True):
        for n in range(size):
            keys.lpush(queue, message(f"{queue}-{n}", body="x" * 10))
    fetch = replace(
        ONE,
        credit=Credit(credit, room_bytes),
        limits=replace(LIMITS, max_bytes=max_bytes),
        reads=read_plan(*queues, fair=fair),
    )

    reply = call(keys, fetch)

    tags = [tag for _, tag, _ in reply.messages]
    assert len(tags) == len(set(tags)) <= credit
    assert len(tags) == min(credit, sum(sizes), -(-room_bytes // 10)) or max_bytes < 10**6
    assert bool(tags) is bool(sum(sizes))
    assert set(keys.hkeys("unacked")) == set(tags)
    assert sum(int(keys.llen(queue)) for queue in queues) == sum(sizes) - len(tags)
    for queue in queues:
        numbers = [int(tag.rpartition(b"-")[2]) for name, tag, _ in reply.messages if name == queue]
        assert numbers == list(range(len(numbers))), "each queue in its order"
    is_full = len(tags) * 10 >= room_bytes
    assert (reply.idle_position == 0) is (len(tags) < credit and len(tags) == sum(sizes) and not is_full)


def test_a_call_on_a_connection_that_was_given_up_takes_nothing(keys: redis.Redis) -> None:
    keys.lpush("q", message("a"))
    keys.append(KEYS.record("me"), " void")
    reply = call(keys, replace(ONE, acks=("b",)))
    assert (reply.idle_position, reply.messages) == (-1, [])
    assert keys.llen("q") == 1


def test_the_last_fetch_of_a_connection_is_on_record_for_as_long_as_it_may_be_asked_for(keys: redis.Redis) -> None:
    keys.lpush("q", message("a"), message("b"))
    call(keys, replace(ONE, token=7, limits=replace(LIMITS, record_s=30.0)))
    assert keys.get(KEYS.record("me")) == b'7 ["a","b"]'
    assert 0 < keys.pttl(KEYS.record("me")) <= 30_000


def test_malformed_messages_are_counted_bounded_and_expire(keys: redis.Redis) -> None:
    keys.lpush("q", *[b"junk %d" % n for n in range(20)], message("good"))
    bounds = replace(DEAD_LETTER_BOUNDS, letters=5, age_s=60)
    reply = call(keys, replace(ONE, credit=Credit(50), limits=replace(LIMITS, dead_letters=bounds)))
    assert reply.dead_letters == [("q", len(b"junk %d" % n)) for n in range(20)]
    assert [tag for _, tag, _ in reply.messages] == [b"good"]
    letters = dead_letters(keys)
    kept = [letters.envelope(letter.letter_id) for letter in letters.newest_first()]
    assert kept == [b"junk 19", b"junk 18", b"junk 17", b"junk 16", b"junk 15"]
    assert letters.totals().dropped == {DropReason.NUMBER: 15}
    assert 0 < keys.ttl(KEYS.dead_letters) <= 60
    assert keys.hkeys("unacked") == [b"good"]


def test_a_malformed_message_that_shows_its_task_and_its_id_is_found_by_them(keys: redis.Redis) -> None:
    task_id = "3b241101-e2bb-4255-8caf-4136c566a962"
    shown = json.dumps({"headers": {"task": "tasks.add", "id": task_id}})
    quoted = json.dumps({"body": json.dumps({"task": "private", "id": "private"}), "task": "two words"})
    keys.lpush("q\x06\x163", shown[:-1], quoted)

    call(keys, replace(ONE, reads=replace(ONE.reads, lists=("q\x06\x163",))))

    second, first = dead_letters(keys).newest_first()
    assert (first.task, first.task_id, first.queue, first.list_key) == ("tasks.add", task_id, "q", "q\x06\x163")
    assert (second.task, second.task_id) == ("", "")


@pytest.mark.parametrize(("encoding", "taken"), [("base64", 4), (None, 3)])
def test_the_room_is_counted_in_bytes_of_decoded_bodies(keys: redis.Redis, encoding: str | None, taken: int) -> None:
    for n in range(10):
        info = {"exchange": "", "routing_key": "q"}
        properties = {"delivery_tag": str(n), "delivery_info": info, "body_encoding": encoding}
        keys.lpush("q", message(str(n), body="x" * 40, properties=properties))

    reply = call(keys, replace(ONE, credit=Credit(10, 120)))

    assert [tag for _, tag, _ in reply.messages] == [str(n).encode() for n in range(taken)]
