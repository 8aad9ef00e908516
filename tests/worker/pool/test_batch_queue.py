"""In which order requests leave the line, and with whom."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pool.batch_queue import Line
from worker.pool.limits import BatchLimits
from worker.pool.pending_request import Member, Place


class Waiting(Member):
    """A member of which only a name matters."""

    def __init__(self, name: object, key: object = "a", **fields: Any) -> None:
        super().__init__(target=print, args=("task", name), options={}, key=key, **fields)


def names(members: Sequence[Member]) -> list[object]:
    return [member.args[1] for member in members]


def filled(*members: Member, requests: int = 8, cost: int = 100) -> Line:
    line = Line(BatchLimits(requests, cost, bulk_s=1.0))
    for member in members:
        line.add(member)
    return line


def test_equal_keys_go_together_the_oldest_first() -> None:
    line = filled(Waiting(1, "a"), Waiting(2, "b"), Waiting(3, "a"), Waiting(4, "b"))

    assert names(line.cut(1)) == [1, 3]
    assert names(line.cut(1)) == [2, 4]
    assert line.cut(1) == []


def test_interactive_goes_before_bulk() -> None:
    line = filled(Waiting(1, is_bulk=True), Waiting(2), Waiting(3, is_bulk=True))

    assert names(line.cut(1)) == [2]
    assert names(line.cut(1)) == [1, 3]


def test_a_batch_keeps_both_limits_and_what_is_too_large_goes_alone() -> None:
    line = filled(*(Waiting(index, cost=40) for index in range(5)), Waiting(5, cost=1000), Waiting(6, cost=1))

    assert [names(line.cut(1)) for _ in range(4)] == [[0, 1, 6], [2, 3], [4], [5]]
    assert names(filled(*map(Waiting, range(20))).cut(1)) == list(range(8))


def test_the_last_ones_are_shared_by_the_processes() -> None:
    line = filled(*map(Waiting, range(7)))

    assert names(line.cut(2)) == [0, 1, 2, 3]
    assert names(line.cut(2)) == [4, 5]


def test_one_that_shall_run_alone_does() -> None:
    line = filled(Waiting(1), Waiting(2, alone=True), Waiting(3), Waiting(4))

    assert [names(line.cut(1)) for _ in range(2)] == [[1, 3, 4], [2]]


def test_the_oldest_goes_with_those_of_similar_cost() -> None:
    line = filled(*(Waiting(index, cost=cost) for index, cost in enumerate((10, 50, 12, 9, 30, 11))), requests=3)

    assert [names(line.cut(1)) for _ in range(2)] == [[0, 3, 5], [1, 2, 4]]


def test_a_rare_cost_waits_no_longer_than_those_that_came_before_it() -> None:
    line = filled(*map(Waiting, range(40)), Waiting("rare", cost=90), requests=2)
    cuts = 0
    while "rare" not in names(line.cut(1)):
        cuts += 1
        # As many come as go.
        line.add(Waiting("late"))
        line.add(Waiting("late"))

    assert cuts == 20


def test_bulk_fills_the_time_that_it_may_take_and_interactive_does_not() -> None:
    line = Line(
        BatchLimits(requests=8, cost=100, bulk_s=2.0), lambda key, seconds: (125 if key == "a" else 10) * int(seconds)
    )
    for is_bulk in (True, False):
        for key in ("a", "b"):
            for index in range(4):
                line.add(Waiting(index, key, cost=50, is_bulk=is_bulk))

    assert [len(line.cut(1)) for _ in range(4)] == [2, 2, 2, 2]
    assert [len(line.cut(1)) for _ in range(3)] == [4, 2, 2]


def test_what_comes_back_goes_first_in_its_order() -> None:
    line = filled(*map(Waiting, range(4)))
    first = line.cut(2)
    for member in reversed(first):
        line.put_back(member)

    assert names(line.cut(1)) == [0, 1, 2, 3]


def test_what_comes_back_is_reserved_and_no_longer_active() -> None:
    line = filled()
    # A revocation ends the process that a request has.
    request = SimpleNamespace(
        id="x", time_start=1.0, worker_pid=7, acknowledged=True, revoked=lambda: False, _already_cancelled=False
    )
    member = Waiting(1, request=SimpleWeak(request))

    line.put_back(member)

    assert member.place is Place.WAITING
    assert member.request.time_start is member.request.worker_pid is None


class SimpleWeak:
    """A namespace that can be in Celery's sets of requests."""

    def __init__(self, fields: SimpleNamespace) -> None:
        vars(self).update(vars(fields))


@pytest.mark.parametrize("place", [Place.GONE, Place.WAITING])
def test_what_is_gone_or_revoked_is_left_out(place: Place) -> None:
    gone = Waiting(2, place=place)
    if place is Place.WAITING:
        gone.request = SimpleNamespace(revoked=lambda: True, _already_cancelled=False)
    line = filled(Waiting(1), gone, Waiting(3))

    assert names(line.cut(1)) == [1, 3]
    assert len(line) == 0
    assert gone.place is Place.GONE


def test_a_revocation_that_cannot_be_announced_stops_nobody() -> None:
    def fail() -> bool:
        raise ConnectionError

    line = filled(Waiting(1, request=SimpleNamespace(revoked=fail, _already_cancelled=False)), Waiting(2))

    assert names(line.cut(1)) == [2]


def test_clearing_keeps_only_what_nobody_gives_again() -> None:
    def asking(acknowledged: bool) -> Any:
        return SimpleNamespace(acknowledged=acknowledged, revoked=lambda: False, _already_cancelled=False)

    members = [Waiting(1), Waiting(2, request=asking(True)), Waiting(3, request=asking(False))]
    line = filled(*members)

    assert names(line.clear()) == [2]
    assert len(line) == 0
    assert line.cut(1) == []


def test_full_batches_are_counted_by_requests_and_by_cost() -> None:
    assert not filled(*map(Waiting, range(15))).fills(2)
    assert filled(*map(Waiting, range(16))).fills(2)
    assert filled(Waiting(1, cost=200)).fills(2)


MEMBERS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 60), st.booleans(), st.booleans()), min_size=1, max_size=60
)


@given(MEMBERS, st.integers(1, 4))
def test_every_member_leaves_once_in_a_batch_within_the_limits(
    drawn: list[tuple[str, int, bool, bool]], processes: int
) -> None:
    members = [
        Waiting(index, key, cost=cost, is_bulk=bulk, alone=alone)
        for index, (key, cost, bulk, alone) in enumerate(drawn)
    ]
    line = filled(*members)
    left: list[Member] = []
    waiting = list(members)
    while batch := line.cut(processes):
        assert len({(member.key, member.is_bulk) for member in batch}) == 1
        assert len(batch) == 1 or (len(batch) <= 8 and sum(member.cost for member in batch) <= 100)
        assert len(batch) == 1 or not any(member.alone for member in batch)
        assert batch[0] is min(waiting, key=lambda member: (member.is_bulk, member.args[1]))
        assert names(batch) == sorted(member.args[1] for member in batch)
        waiting = [member for member in waiting if member not in batch]
        left += batch

    assert sorted(member.args[1] for member in left) == list(range(len(members)))
    assert len(line) == 0
    assert not line.fills(1)
