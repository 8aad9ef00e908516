"""What a process is expected to do in a time, per kind of request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.pool.throughput import Pace


def test_nothing_is_expected_of_what_was_never_measured() -> None:
    pace = Pace()
    pace.observe("other", 100, 1.0)

    assert pace.cost_in("this", 10.0) == 0


def test_kinds_are_measured_apart() -> None:
    pace = Pace()
    pace.observe("light", 1000, 1.0)
    pace.observe("heavy", 10, 1.0)

    assert (pace.cost_in("light", 2.0), pace.cost_in("heavy", 2.0)) == (2000, 20)


def test_the_pace_follows_the_load() -> None:
    pace = Pace()
    for _ in range(50):
        pace.observe("a", 100, 1.0)
    for _ in range(50):
        pace.observe("a", 100, 10.0)

    assert 10 <= pace.cost_in("a", 1.0) <= 11


@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0.001, 100)), min_size=1, max_size=20))
def test_the_expectation_lies_between_the_slowest_and_the_fastest(batches: list[tuple[int, float]]) -> None:
    pace = Pace()
    for cost, seconds in batches:
        pace.observe("a", cost, seconds)
    rates = [cost / seconds for cost, seconds in batches]

    assert min(rates) - 1 <= pace.cost_in("a", 1.0) * 1.001
    assert pace.cost_in("a", 1.0) <= max(rates) * 1.001


def test_a_batch_that_took_no_time_is_no_division_by_zero() -> None:
    pace = Pace()
    pace.observe("a", 1, 0.0)

    assert pace.cost_in("a", 1.0) > 0
