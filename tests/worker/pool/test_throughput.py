"""How much a process is expected to compute in a given time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.pool.throughput import Throughput


def test_nothing_is_expected_of_what_was_never_measured() -> None:
    throughput = Throughput()
    throughput.observe("other", 100, 1.0)

    assert throughput.cost_in("this", 10.0) is None
    assert throughput.seconds_for("this", 10) == 0


def test_kinds_are_measured_apart() -> None:
    throughput = Throughput()
    throughput.observe("light", 1000, 1.0)
    throughput.observe("heavy", 10, 1.0)

    assert (throughput.cost_in("light", 2.0), throughput.cost_in("heavy", 2.0)) == (2000, 20)


def test_what_is_expected_counts_until_something_is_measured() -> None:
    throughput = Throughput(lambda kind: 0.5 if kind == "known" else 0.0)
    assert (throughput.cost_in("known", 10.0), throughput.seconds_for("known", 10)) == (20, 5.0)
    assert throughput.cost_in("this", 10.0) is None

    throughput.observe("known", 10, 1.0)

    assert throughput.cost_in("known", 10.0) == 100


def test_a_unit_that_takes_longer_than_the_time_is_known_and_does_not_fit() -> None:
    assert Throughput(lambda _: 3.0).cost_in("a", 1.0) == 0


def test_the_pace_follows_the_load() -> None:
    throughput = Throughput()
    for _ in range(50):
        throughput.observe("a", 100, 1.0)
    for _ in range(50):
        throughput.observe("a", 100, 10.0)

    assert throughput.cost_in("a", 1.0) in {10, 11}


@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0.001, 100)), min_size=1, max_size=20))
def test_the_expectation_lies_between_the_slowest_and_the_fastest(batches: list[tuple[int, float]]) -> None:
    throughput = Throughput()
    for cost, seconds in batches:
        throughput.observe("a", cost, seconds)
    rates = [cost / seconds for cost, seconds in batches]

    expected = throughput.cost_in("a", 1.0)
    assert expected is not None
    assert min(rates) - 1 <= expected * 1.001
    assert expected <= max(rates) * 1.001


def test_a_batch_that_took_no_time_is_no_division_by_zero() -> None:
    throughput = Throughput()
    throughput.observe("a", 1, 0.0)

    assert throughput.cost_in("a", 1.0)
