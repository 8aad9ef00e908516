"""How many processes the work needs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.groups import ScaleSettings
from worker.scaling.rule import ScalingRule
from worker.workload.workload import ArrivalMeter, Workload

TARGETS = ScaleSettings(drain_s=2.0, utilization=0.8, cooldown_s=10.0)
LOADS = st.builds(Workload, backlog_s=st.floats(0, 1000), arriving=st.floats(0, 50))


@pytest.mark.parametrize(
    ("backlog_s", "arriving", "needed"),
    [(0, 0, 1), (0.1, 0, 1), (2.1, 0, 2), (20, 0, 10), (0, 0.8, 1), (0, 0.81, 2), (0, 4, 5), (2, 4, 5), (20, 4, 14)],
)
def test_arrivals_are_kept_up_with_and_the_backlog_is_worked_off(
    backlog_s: float, arriving: float, needed: int
) -> None:
    assert ScalingRule(TARGETS).needed(Workload(backlog_s, arriving)) == needed


def test_it_grows_at_once_and_shrinks_to_what_the_cooldown_needed() -> None:
    rule = ScalingRule(TARGETS)
    busy, calm, idle = Workload(16, 0), Workload(8, 0), Workload(0, 0)

    assert rule.decide(0.0, idle, 1, 50) == 1
    assert rule.decide(1.0, busy, 1, 50) == 8
    assert rule.decide(5.0, calm, 1, 50) == 8
    assert rule.decide(10.9, idle, 1, 50) == 8
    assert rule.decide(11.1, idle, 1, 50) == 4
    assert rule.decide(15.1, idle, 1, 50) == 1


def test_the_range_wins() -> None:
    rule = ScalingRule(TARGETS)

    assert rule.decide(0.0, Workload(1000, 0), 1, 4) == 4
    assert ScalingRule(TARGETS).decide(0.0, Workload(0, 0), 3, 4) == 3


@given(st.lists(st.tuples(st.floats(0.1, 5), LOADS), min_size=1, max_size=60), st.integers(1, 4), st.integers(4, 50))
def test_it_is_what_the_cooldown_needed_most_within_the_range(
    moments: list[tuple[float, Workload]], least: int, most: int
) -> None:
    rule, now_s = ScalingRule(TARGETS), 0.0
    needed: list[tuple[float, int]] = []
    for passed_s, load in moments:
        now_s += passed_s
        needed.append((now_s, rule.needed(load)))
        wanted = max(need for at_s, need in needed if at_s > now_s - TARGETS.cooldown_s)

        assert rule.decide(now_s, load, least, most) == min(max(wanted, least), most)


def test_arrivals_are_seen_while_a_backlog_is_worked_off() -> None:
    meter = ArrivalMeter(memory_s=1.0)
    fetched_s, waiting_s, arriving = 0.0, 10.0, 0.0
    # Three processes fetch three seconds of work a second; two come in: the queue loses one.
    for second in range(10):
        arriving = meter.update(float(second), fetched_s, waiting_s)
        fetched_s += 3.0
        waiting_s -= 1.0

    assert arriving == pytest.approx(2.0, rel=0.01)


@given(st.floats(0.1, 20), st.integers(5, 100))
def test_steady_arrivals_are_measured_as_they_are(rate: float, samples: int) -> None:
    meter = ArrivalMeter(memory_s=0.5)
    seen = [meter.update(index * 0.5, index * 0.5 * rate, 0.0) for index in range(samples)]

    # It rises towards the rate, but for the last bits.
    assert all(later >= earlier * (1 - 1e-9) for earlier, later in pairwise(seen))
    assert seen[-1] <= rate * 1.0001
    if samples > 20:
        assert seen[-1] == pytest.approx(rate, rel=0.01)


def test_a_sample_that_comes_twice_changes_nothing() -> None:
    meter = ArrivalMeter()
    meter.update(0.0, 0.0, 0.0)
    before = meter.update(1.0, 5.0, 0.0)

    assert meter.update(1.0, 9.0, 3.0) == before
