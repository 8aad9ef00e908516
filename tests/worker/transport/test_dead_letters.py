"""The dead letters by themselves, on a real server: one form, moved in one step, bounded and counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.worker.transport.helpers import Looped, dead_letter_fields, publish
from tests.worker.transport.test_malformed import JSON
from worker.transport.dead_envelope import EnvelopeFacts, facts_of, renewed, split_record
from worker.transport.dead_letters import (
    UNBOUNDED,
    Attempt,
    DeadLetterBounds,
    DeadLetters,
    DeadReason,
    DropReason,
    Epitaph,
)
from worker.transport.keys import Keys

KEYS = Keys.of_prefix()
BOUNDS = DeadLetterBounds(letters=100, bytes=100_000, age_s=60, content=True)
ID = "3b241101-e2bb-4255-8caf-4136c566a962"


@pytest.fixture
def open_letters(keys: redis.Redis) -> Callable[..., DeadLetters]:
    def make(**changes: Any) -> DeadLetters:
        return DeadLetters(keys, KEYS, replace(BOUNDS, **changes))

    return make


def bury(letters: DeadLetters, envelope: bytes, reason: DeadReason = DeadReason.MALFORMED, **known: Any) -> None:
    assert letters.bury("tag", envelope, Epitaph(reason, "it is broken", **known), must_be_recorded=False)


def ids(letters: DeadLetters) -> list[str]:
    return [letter.letter_id for letter in letters.newest_first()]


def test_a_letter_says_all_that_is_known_and_has_the_envelope_to_the_byte(
    keys: redis.Redis, open_letters: Callable[..., DeadLetters]
) -> None:
    letters, envelope = open_letters(), bytes(range(256)) * 3
    attempts = (Attempt(1.5, "a@host"), Attempt(2.5, "b@host"))
    before_s = letters.now_s()

    bury(
        letters, envelope, DeadReason.TOO_MANY_ATTEMPTS, queue="q", list_key="q\x06\x163", task="t", task_id=ID,
        error="ModelFailed", attempts=attempts,
    )  # fmt: skip
    (letter,) = letters.newest_first()

    assert letter.at_s == pytest.approx(before_s, abs=60)
    assert (letter.reason, letter.problem) == (DeadReason.TOO_MANY_ATTEMPTS, "it is broken")
    assert (letter.queue, letter.list_key, letter.task, letter.task_id) == ("q", "q\x06\x163", "t", ID)
    assert (letter.error, letter.attempts, letter.size_bytes) == ("ModelFailed", attempts, len(envelope))
    assert letters.envelope(letter.letter_id) == envelope
    (fields,) = dead_letter_fields(keys)
    assert fields[b"format"] == b"1"


def test_the_record_goes_in_the_same_step_and_what_has_none_is_left_alone(
    keys: redis.Redis, open_letters: Callable[..., DeadLetters]
) -> None:
    letters, epitaph = open_letters(), Epitaph(DeadReason.UNDECODABLE, "it is broken")
    keys.hset("unacked", mapping={"a": "x", "b": "x"})
    keys.zadd("unacked_index", {"a": 1, "b": 1})

    assert letters.bury("a", b"x", epitaph)
    assert not letters.bury("a", b"x", epitaph)

    assert keys.hkeys("unacked") == keys.zrange("unacked_index", 0, -1) == [b"b"]
    assert len(ids(letters)) == 1


def test_who_looks_without_bounds_removes_nothing(keys: redis.Redis, open_letters: Callable[..., DeadLetters]) -> None:
    keys.xadd(KEYS.dead_letters, {"reason": "malformed"}, id="1000-0")
    unbounded = DeadLetters(keys, KEYS, UNBOUNDED)

    assert unbounded.totals().kept == {DeadReason.MALFORMED: 1}
    assert ids(unbounded) == ["1000-0"]
    assert open_letters().totals().kept == {DeadReason.MALFORMED: 0}


def test_the_oldest_make_room_and_are_counted(open_letters: Callable[..., DeadLetters]) -> None:
    letters = open_letters(letters=3)
    for number in range(8):
        bury(letters, b"%d" % number)

    kept = [letters.envelope(name) for name in ids(letters)]
    totals = letters.totals()

    assert kept == [b"7", b"6", b"5"]
    assert totals.kept == {DeadReason.MALFORMED: 3}
    assert totals.buried == {DeadReason.MALFORMED: 8}
    assert totals.dropped == {DropReason.NUMBER: 5}


def test_all_letters_together_have_no_more_bytes_than_allowed(open_letters: Callable[..., DeadLetters]) -> None:
    letters = open_letters(bytes=5000)
    for size in (1000, 10, 2000, 3000, 10, 4000):
        bury(letters, b"x" * size)
        assert letters.totals().bytes <= 5000

    assert letters.totals().dropped == {DropReason.BYTES: 4}
    assert [letter.size_bytes for letter in letters.newest_first()] == [4000, 10]


def test_an_envelope_larger_than_all_room_is_not_kept_and_drops_no_other(
    open_letters: Callable[..., DeadLetters],
) -> None:
    letters = open_letters(bytes=5000)
    bury(letters, b"small", list_key="q")
    bury(letters, b"x" * 5000, list_key="q")

    large, small = letters.newest_first()

    assert (large.size_bytes, large.has_envelope, large.can_be_replayed) == (5000, False, False)
    assert (small.has_envelope, small.can_be_replayed) == (True, True)
    assert letters.totals().dropped == {DropReason.CONTENT: 1}


def test_without_content_a_letter_says_what_it_knows_and_nothing_is_dropped(
    keys: redis.Redis, open_letters: Callable[..., DeadLetters]
) -> None:
    letters = open_letters(content=False)
    bury(letters, b"words of a sender", queue="q", list_key="q")

    (letter,) = letters.newest_first()

    assert (letter.queue, letter.size_bytes, letter.can_be_replayed) == ("q", 17, False)
    assert letters.envelope(letter.letter_id) is None
    assert letters.totals().dropped == {}
    assert b"words" not in (keys.dump(KEYS.dead_letters) or b"")


def test_what_is_too_old_goes_at_the_next_look_and_the_keys_expire(
    keys: redis.Redis, open_letters: Callable[..., DeadLetters]
) -> None:
    letters = open_letters(age_s=60)
    old_ms = int((letters.now_s() - 61) * 1000)
    keys.xadd(KEYS.dead_letters, {"reason": "malformed", "format": "1", "size": "0"}, id=f"{old_ms}-0")
    bury(letters, b"new")

    assert [letter.size_bytes for letter in letters.newest_first()] == [3]
    assert letters.totals().dropped == {DropReason.AGE: 1}
    age_s = letters.totals().oldest_s
    assert age_s is not None
    assert 0 <= age_s < 60
    for key in (KEYS.dead_letters, KEYS.dead_letter_counts):
        assert 0 < keys.ttl(key) <= 60


def test_counts_are_made_anew_after_somebody_has_removed_letters_by_hand(
    keys: redis.Redis, open_letters: Callable[..., DeadLetters]
) -> None:
    letters = open_letters()
    for number in range(40):
        bury(letters, b"%d" % number)
    bury(letters, b"last", DeadReason.UNKNOWN_TASK)
    bytes_before = letters.totals().bytes
    keys.xtrim(KEYS.dead_letters, maxlen=30, approximate=False)

    totals = letters.totals()

    assert totals.kept == {DeadReason.MALFORMED: 29, DeadReason.UNKNOWN_TASK: 1}
    assert 0 < totals.bytes < bytes_before
    assert totals.buried == {DeadReason.MALFORMED: 40, DeadReason.UNKNOWN_TASK: 1}


def test_a_replayed_letter_is_at_the_end_of_its_list_once(
    keys: redis.Redis, open_letters: Callable[..., DeadLetters]
) -> None:
    letters = open_letters()
    keys.lpush("q", b"first")
    bury(letters, b"envelope", list_key="q")
    (name,) = ids(letters)

    assert letters.replay(name, b"renewed")
    assert not letters.replay(name, b"renewed")

    assert keys.lrange("q", 0, -1) == [b"renewed", b"first"]
    assert (ids(letters), letters.totals().bytes) == ([], 0)


def test_letters_beyond_a_page_are_listed_and_dropped_one_by_one(open_letters: Callable[..., DeadLetters]) -> None:
    letters = open_letters(letters=1000)
    for number in range(450):
        bury(letters, b"%d" % number)

    names = ids(letters)

    assert len(set(names)) == 450
    assert names == sorted(names, key=lambda name: tuple(map(int, name.split("-"))), reverse=True)
    assert letters.drop(names[7])
    assert not letters.drop(names[7])
    assert ids(letters) == names[:7] + names[8:]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 2000), min_size=1, max_size=12),
    bounds=st.builds(
        DeadLetterBounds,
        letters=st.integers(1, 8),
        bytes=st.integers(500, 4000),
        age_s=st.just(60),
        content=st.booleans(),
    ),
)
def test_bounds_and_counts_hold_whatever_is_buried(
    keys: redis.Redis, sizes: list[int], bounds: DeadLetterBounds
) -> None:
    keys.flushall()
    letters = DeadLetters(keys, KEYS, bounds)
    for size in sizes:
        bury(letters, b"x" * size)

    totals, entries = letters.totals(), dead_letter_fields(keys)

    weight = sum(len(name) + len(value) for fields in entries for name, value in fields.items())
    assert (totals.bytes, sum(totals.kept.values())) == (weight, len(entries))
    assert weight <= bounds.bytes
    assert len(entries) <= bounds.letters
    assert sum(totals.buried.values()) == len(sizes)
    lost = sum(number for why, number in totals.dropped.items() if why != DropReason.CONTENT)
    assert lost == len(sizes) - len(entries)


def test_a_full_server_refuses_a_letter_and_leaves_the_message_recorded(
    keys: redis.Redis, open_letters: Callable[..., DeadLetters]
) -> None:
    letters = open_letters()
    bury(letters, b"old", list_key="q")
    keys.hset("unacked", "a", "x")
    keys.config_set("maxmemory", "1")
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            letters.bury("a", b"x", Epitaph(DeadReason.MALFORMED, "it is broken"))
        assert letters.drop(ids(letters)[0]), "what frees memory is allowed"
    finally:
        keys.config_set("maxmemory", "0")
    assert keys.hkeys("unacked") == [b"a"]
    assert (ids(letters), letters.totals().bytes) == ([], 0)


# -- by way of a channel


def test_a_channel_buries_what_it_holds_and_may_fetch_another(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "bad", priority=9)
    (source,) = keys.keys("q*")
    original = keys.lindex(source, 0)
    with Looped(url, "q", prefetch=1) as looped:
        looped.until_received(1)
        channel, tag = looped.channel, looped.messages[0].delivery_tag
        channel.bury(tag, DeadReason.TOO_MANY_ATTEMPTS, "it was tried 3 times", attempts=[Attempt(1.0, "a@host")])
        channel.bury(tag, DeadReason.TOO_MANY_ATTEMPTS, "it was tried 3 times")
        publish(url, "q", "good")
        looped.until_received(2)
        assert looped.received == ["bad", "good"]
        looped.messages.pop().ack()
        looped.until_settled()
        (letter,) = channel.dead_letters.newest_first()
        assert channel.dead_letters.envelope(letter.letter_id) == original
    assert letter.attempts == (Attempt(1.0, "a@host"),)
    assert letter.queue == "q"
    assert letter.list_key.encode() == source != b"q"
    assert not keys.exists("unacked", "unacked_index", "q", source)


def test_a_buried_message_is_not_put_back_when_its_channel_closes(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "bad")
    with Looped(url, "q") as looped:
        looped.until_received(1)
        looped.channel.bury(looped.messages[0].delivery_tag, DeadReason.UNKNOWN_TASK, "no worker runs this task")
    assert not keys.exists("unacked", "q")
    assert keys.xlen(KEYS.dead_letters) == 1


@pytest.mark.parametrize(
    ("exchange", "routing_key", "queue"),
    [
        ("", "q", "q"),
        ("nobody declared it", "q", "q"),
        ("wrong type", "q", "q"),
        ("\ud800", "q", "q"),
        ("", "\ud800", "\\ud800"),
        ("", "", ""),
        ("", "a\x00b\n", "a\x00b\n"),
    ],
    # pytest-xdist cannot send the surrogates.
    ids=["queue", "undeclared", "wrong type", "odd exchange", "odd key", "empty", "control characters"],
)
def test_whatever_a_record_names_it_is_buried(
    url: str, keys: redis.Redis, exchange: str, routing_key: str, queue: str
) -> None:
    keys.set("_kombu.binding.wrong type", "a string")
    keys.hset("unacked", "tag", json.dumps([{"headers": {"task": "\ud800"}, "properties": {}}, exchange, routing_key]))
    with Looped(url, "other") as looped:
        looped.channel.bury("tag", DeadReason.TOO_MANY_ATTEMPTS, "it was tried 3 times")
        (letter,) = looped.channel.dead_letters.newest_first()

    assert (letter.queue, letter.task) == (queue, "\\ud800")
    assert letter.can_be_replayed is bool(queue)
    assert not keys.exists("unacked")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(payload=JSON, headers=JSON, properties=JSON, body=JSON)
def test_whatever_a_message_is_it_is_buried_and_comes_back_as_it_was(
    url: str, keys: redis.Redis, payload: Any, headers: Any, properties: Any, body: Any
) -> None:
    for envelope in (payload, {"headers": headers, "properties": properties, "body": body}):
        keys.flushall()
        raw = json.dumps(envelope).encode()
        keys.hset("unacked", "tag", b'[%s, "", "q"]' % raw)
        with Looped(url, "other") as looped:
            looped.channel.bury("tag", DeadReason.UNKNOWN_TASK, "no worker runs this task")
            letters = looped.channel.dead_letters
            (letter,) = letters.newest_first()
            assert letters.envelope(letter.letter_id) == raw
            assert letters.replay(letter.letter_id, renewed(raw))
        assert keys.lpop(letter.list_key) is not None


# -- what an envelope says


@pytest.mark.parametrize("text", ["q", 'a "quoted", "name"]', "a\\", "ü\n", ""])
@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_a_record_is_split_whatever_its_parts_contain(text: str, separators: tuple[str, str]) -> None:
    envelope = json.dumps({"body": '", "x", "y"]', "n": [text]}, separators=separators)
    tail = json.dumps([text, text[::-1]], separators=separators)[1:]
    record = f"[{envelope}{separators[0]}{tail}".encode()
    assert split_record(record) == (envelope.encode(), text, text[::-1])


@given(st.binary())
def test_any_bytes_are_a_record_and_an_envelope(raw: bytes) -> None:
    assert isinstance(split_record(raw)[0], bytes)
    assert facts_of(raw) == EnvelopeFacts()
    assert renewed(raw) == raw


def test_protocol_1_names_its_task_in_the_body() -> None:
    envelope = {"body": json.dumps({"task": "t", "id": ID, "args": []}), "headers": {}, "properties": {"priority": 3}}
    assert facts_of(json.dumps(envelope).encode()) == EnvelopeFacts("t", ID, 3)


def test_a_renewed_envelope_has_another_tag_and_no_trace_of_the_last_delivery() -> None:
    info = {"exchange": "", "routing_key": "q"}
    before = {
        "body": "e30=",
        "headers": {"task": "t", "n": 12345678901234567890, "s": "\ud800"},
        "properties": {"delivery_tag": "old", "delivery_info": info, "priority": 3},
    }
    marked = json.loads(json.dumps(before))
    marked["headers"]["redelivered"] = marked["properties"]["delivery_info"]["redelivered"] = True

    after = json.loads(renewed(json.dumps(marked).encode()))

    assert after["properties"].pop("delivery_tag") != before["properties"].pop("delivery_tag")  # type: ignore[attr-defined]
    assert after == before
