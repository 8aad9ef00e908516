"""A live consumer keeps what it holds: the visibility timeout of its messages starts again and again."""

from __future__ import annotations

from typing import Any

import kombu
import redis

from tests.worker.transport.helpers import Looped, publish


def scores(keys: redis.Redis) -> dict[bytes, float]:
    """When each held message was fetched or renewed, by its tag."""
    entries: Any = keys.zrange("unacked_index", 0, -1, withscores=True)
    return dict(entries)


def first_score(keys: redis.Redis) -> float:
    [score] = scores(keys).values()
    return score


def test_a_held_message_is_renewed_within_its_visibility_timeout(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "held")
    with Looped(url, "q", visibility_timeout=1) as looped:
        looped.until_received(1)
        fetched_at = first_score(keys)
        looped.until(lambda: first_score(keys) > fetched_at + 1)
        assert looped.received == ["held"]
        assert keys.llen("q") == 0


def test_no_consumer_takes_over_what_a_live_one_holds(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "held")
    options: dict[str, Any] = {"visibility_timeout": 2, "unacked_restore_throttle": 0.1, "unacked_mutex_expire": 1}
    with Looped(url, "q", **options) as holder, Looped(url, "q", connection=kombu.Connection, **options) as stock:
        holder.until_received(1)
        fetched_at = first_score(keys)

        def both_turn() -> bool:
            stock.turn()
            return first_score(keys) > fetched_at + 5

        holder.until(both_turn)
        assert (holder.received, stock.received) == (["held"], [])


def test_what_somebody_else_has_taken_over_is_not_renewed(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "held", "other")
    with Looped(url, "q", visibility_timeout=1) as looped:
        looped.until_received(2)
        taken, kept = scores(keys)
        keys.zrem("unacked_index", taken)
        before = first_score(keys)
        looped.until(lambda: first_score(keys) > before)
        assert list(scores(keys)) == [kept]


def test_a_thousand_held_messages_are_renewed_together(url: str, keys: redis.Redis) -> None:
    publish(url, "q", *range(1500))
    with Looped(url, "q", visibility_timeout=4, prefetch=2000) as looped:
        looped.until_received(1500)
        newest = max(scores(keys).values())
        looped.until(lambda: keys.zcount("unacked_index", "-inf", newest) == 0)
        assert keys.zcard("unacked_index") == 1500
