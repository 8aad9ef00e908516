"""What is not a message goes to a list of its own; none of its content is logged, and consuming goes on."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.worker.transport.helpers import Looped, dead_letters, publish
from worker.transport.dead_letters import DeadReason
from worker.transport.envelope import MAX_DEPTH, MalformedMessageError, Message, decode

PRIVATE = "words of a sender"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def envelope(**changes: Any) -> dict[str, Any]:
    made = {
        "body": base64.b64encode(b"1").decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": {
            "delivery_tag": "tag",
            "delivery_info": {"exchange": "", "routing_key": "q"},
            "body_encoding": "base64",
        },
    }
    return {**made, **changes}


def with_properties(**changes: Any) -> dict[str, Any]:
    made = envelope()
    made["properties"] = {name: v for name, v in {**made["properties"], **changes}.items() if v != "left out"}
    return made


def with_nested_headers(levels: int) -> bytes:
    """An envelope whose headers are nested this deep; made as text, which needs no recursion."""
    made = json.dumps(envelope(headers={"a": "deep"}))
    return made.replace('"deep"', "[" * levels + f'"{PRIVATE}"' + "]" * levels).encode()


MALFORMED = {
    "no JSON": PRIVATE.encode(),
    "cut off": json.dumps(envelope(secret=PRIVATE)).encode()[:-10],
    "no UTF-8": json.dumps(envelope(more="S")).encode().replace(b'"S"', b'"\xff\xfe"'),
    "a number": b"7",
    "a list": json.dumps([PRIVATE]).encode(),
    "no properties": json.dumps({"body": PRIVATE}).encode(),
    "properties a list": json.dumps(envelope(properties=[PRIVATE])).encode(),
    "no delivery tag": json.dumps(with_properties(delivery_tag="left out")).encode(),
    "delivery tag a number": json.dumps(with_properties(delivery_tag=5)).encode(),
    "delivery tag empty": json.dumps(with_properties(delivery_tag="")).encode(),
    "delivery tag half a character": json.dumps(with_properties(delivery_tag="\ud800")).encode(),
    "no delivery information": json.dumps(with_properties(delivery_info="left out")).encode(),
    "no routing key": json.dumps(with_properties(delivery_info={"exchange": ""})).encode(),
    "body no base64": json.dumps(envelope(body="abc")).encode(),
    "body a number": json.dumps(envelope(body=5)).encode(),
    "body encoding unknown": json.dumps(with_properties(body_encoding="rot13")).encode(),
    "headers a list": json.dumps(envelope(headers=[PRIVATE])).encode(),
    "content type a list": json.dumps(envelope(**{"content-type": [PRIVATE]})).encode(),
    "100,000 brackets": b"[" * 100_000,
    "100,000 pairs of brackets": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "headers 600 deep": with_nested_headers(600),
    "headers 950 deep": with_nested_headers(950),
    "a number that Python does not read": json.dumps(envelope(n="N")).encode().replace(b'"N"', b"1" * 5000),
    "a type of kombu without its value": json.dumps(envelope(a={"__type__": "uuid", "__value__": PRIVATE})).encode(),
    "nothing": b"",
}


def test_none_of_them_reaches_the_consumer_or_a_log_and_each_is_kept(
    url: str, keys: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for raw in MALFORMED.values():
        keys.lpush("q", raw)
    publish(url, "q", "good")

    with Looped(url, "q") as looped:
        looped.until_received(1)
        looped.ack_all()
        looped.until_settled()
        assert looped.received == ["good"]

    letters = dead_letters(keys)
    assert sorted(letters.envelope(one.letter_id) or b"" for one in letters.newest_first()) == sorted(
        MALFORMED.values()
    )
    for letter in letters.newest_first():
        assert (letter.reason, letter.queue, letter.list_key) == (DeadReason.MALFORMED, "q", "q")
        assert letter.problem
        assert PRIVATE not in repr(letter)
    assert not keys.exists("q", "unacked", "unacked_index")
    assert PRIVATE not in caplog.text
    assert caplog.text.count("moved a malformed message of") == len(MALFORMED)


def test_a_record_that_nobody_can_read_does_not_end_the_sweep(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "good")
    with Looped(url, "q") as dead:
        dead.until_received(1)
        for tag, record in (("a", b"junk"), ("b", b"[" * 100_000), ("c", b"[1]")):
            keys.hset("unacked", tag, record)
            keys.zadd("unacked_index", {tag: 2_000_000_000 - ord(tag)})
        with Looped(url, "q", visibility_timeout=-1_000_000_000) as looped:
            looped.channel.qos.restore_visible(num=None, interval=1)
            looped.until_received(1)
            assert looped.received == ["good"]
        letters = [letter.has_envelope and not letter.can_be_replayed for letter in dead_letters(keys).newest_first()]
        assert letters == [True, True, True], "nobody knows their queue"
        dead.messages.clear()


def test_a_message_whose_headers_are_null_can_be_put_back(url: str, keys: redis.Redis) -> None:
    keys.lpush("q", json.dumps(envelope(headers=None)))
    for _ in range(2):
        with Looped(url, "q") as looped:
            looped.until_received(1)
    assert keys.llen("q") == 1


def test_as_deep_as_allowed_is_no_fault() -> None:
    raw = with_nested_headers(MAX_DEPTH - 3)
    assert decode(raw, b"tag")["headers"]["a"]


@settings(deadline=None)
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode(raw, b"tag")


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(envelope())), JSON)
def test_no_part_of_an_envelope_raises_anything_else(url_less_part: str, value: Any) -> None:
    try:
        payload = decode(json.dumps(envelope(**{url_less_part: value})).encode(), b"tag")
        Message(payload, channel=_Codecs())
    except MalformedMessageError:
        return
    assert payload["properties"]["delivery_tag"] == "tag"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
@given(parts=st.dictionaries(st.sampled_from([*envelope(), "x"]), JSON, min_size=1), tail=st.binary(max_size=3))
def test_whatever_is_on_the_list_the_next_message_comes(
    url: str, keys: redis.Redis, parts: dict[str, Any], tail: bytes
) -> None:
    keys.flushdb()
    keys.lpush("q", json.dumps(envelope(**parts)).encode() + tail)
    publish(url, "q", "good")
    received: list[Any] = []
    with Looped(url, "q") as looped:
        looped.consumer.on_message = lambda message: received.append(message.body)
        looped.until(lambda: '"good"' in received or b'"good"' in received)


class _Codecs:
    """What a message asks of its channel."""

    def decode_body(self, body: Any, encoding: Any = None) -> Any:
        from kombu.transport.virtual import Channel

        return Channel.decode_body(Channel, body, encoding)
