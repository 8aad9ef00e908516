"""How long held messages are estimated to take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pool.throughput import ByteThroughput

REQUESTS = st.lists(st.tuples(st.integers(1, 10**6), st.floats(1e-4, 60)), min_size=1, max_size=50)


def estimator_after(requests: list[tuple[int, float]]) -> ByteThroughput:
    estimator = ByteThroughput()
    for size_bytes, seconds in requests:
        estimator.observe(size_bytes, seconds)
    return estimator


def test_before_anything_is_measured_a_short_text_counts_little_and_the_largest_request_much() -> None:
    assert 0 < ByteThroughput().estimate_s(100) < 0.1
    assert ByteThroughput().estimate_s(1024 * 1024) > 15


def test_nothing_takes_no_time() -> None:
    assert ByteThroughput().estimate_s(0) == 0
    assert estimator_after([(100, 1.0)]).estimate_s(0) == 0


def test_what_was_measured_replaces_the_first_guess() -> None:
    assert estimator_after([(1000, 2.0)]).estimate_s(500) == pytest.approx(1.0)


def test_requests_count_by_their_bytes_and_not_by_their_number() -> None:
    estimator = estimator_after([(1_000_000, 10.0), (1000, 1.0)])
    assert estimator.estimate_s(1_000_000) == pytest.approx(11.0, rel=0.05)


def test_the_estimate_follows_the_load() -> None:
    slow, fast = [(1000, 1.0)] * 100, [(1000, 0.01)] * 500
    assert estimator_after(slow).estimate_s(1000) == pytest.approx(1.0)
    assert estimator_after(slow + fast).estimate_s(1000) == pytest.approx(0.01, rel=0.01)


@given(REQUESTS, st.integers(1, 10**6))
def test_the_estimate_lies_between_the_slowest_and_the_fastest_that_was_seen(
    requests: list[tuple[int, float]], size_bytes: int
) -> None:
    speeds = [seconds / size for size, seconds in requests]
    estimate = estimator_after(requests).estimate_s(size_bytes) / size_bytes
    assert min(speeds) * 0.999 <= estimate <= max(speeds) * 1.001


@given(REQUESTS, st.integers(0, 10**6), st.integers(0, 10**6))
def test_two_messages_take_as_long_together_as_one_after_the_other(
    requests: list[tuple[int, float]], one: int, two: int
) -> None:
    estimator = estimator_after(requests)
    assert estimator.estimate_s(one + two) == pytest.approx(estimator.estimate_s(one) + estimator.estimate_s(two))
