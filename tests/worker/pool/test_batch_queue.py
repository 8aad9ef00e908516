"""The order in which requests leave the queue, and the batches that they form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection

from tests.worker.pool.fakes import FakeRequest, no_tracer, tracer_arguments
from worker.pool.batch_queue import BatchQueue
from worker.pool.limits import BatchLimits
from worker.pool.pending_request import PendingRequest, RequestState


class Waiting(PendingRequest):
    """A request of which only the name matters."""

    def __init__(self, name: object, key: object = "a", **fields: Any) -> None:
        super().__init__(target=no_tracer, args=tracer_arguments(name), options={}, key=key, **fields)


def names(requests: Sequence[PendingRequest]) -> list[Any]:
    return [request.args[1] for request in requests]


def queue_of(*waiting: PendingRequest, requests: int = 8, cost: int = 100) -> BatchQueue:
    queue = BatchQueue(BatchLimits(requests, cost, bulk_s=1.0))
    for request in waiting:
        queue.add(request)
    return queue


def test_equal_keys_go_together_the_oldest_first() -> None:
    queue = queue_of(Waiting(1, "a"), Waiting(2, "b"), Waiting(3, "a"), Waiting(4, "b"))

    assert names(queue.take_batch(1)) == [1, 3]
    assert names(queue.take_batch(1)) == [2, 4]
    assert queue.take_batch(1) == []


def test_interactive_goes_before_bulk() -> None:
    queue = queue_of(Waiting(1, is_bulk=True), Waiting(2), Waiting(3, is_bulk=True))

    assert names(queue.take_batch(1)) == [2]
    assert names(queue.take_batch(1)) == [1, 3]


def test_a_batch_keeps_both_limits_and_what_is_too_large_goes_alone() -> None:
    queue = queue_of(*(Waiting(index, cost=40) for index in range(5)), Waiting(5, cost=1000), Waiting(6, cost=1))

    assert [names(queue.take_batch(1)) for _ in range(4)] == [[0, 1, 6], [2, 3], [4], [5]]
    assert names(queue_of(*map(Waiting, range(20))).take_batch(1)) == list(range(8))


def test_the_last_ones_are_shared_by_the_processes() -> None:
    queue = queue_of(*map(Waiting, range(7)))

    assert names(queue.take_batch(2)) == [0, 1, 2, 3]
    assert names(queue.take_batch(2)) == [4, 5]


def test_one_that_shall_run_alone_does() -> None:
    queue = queue_of(Waiting(1), Waiting(2, runs_alone=True), Waiting(3), Waiting(4))

    assert [names(queue.take_batch(1)) for _ in range(2)] == [[1, 3, 4], [2]]


def test_the_oldest_goes_with_those_of_similar_cost() -> None:
    queue = queue_of(*(Waiting(index, cost=cost) for index, cost in enumerate((10, 50, 12, 9, 30, 11))), requests=3)

    assert [names(queue.take_batch(1)) for _ in range(2)] == [[0, 3, 5], [1, 2, 4]]


def test_a_rare_cost_waits_no_longer_than_those_that_came_before_it() -> None:
    queue = queue_of(*map(Waiting, range(40)), Waiting("rare", cost=90), requests=2)
    cuts = 0
    while "rare" not in names(queue.take_batch(1)):
        cuts += 1
        # As many requests arrive as leave.
        queue.add(Waiting("late"))
        queue.add(Waiting("late"))

    assert cuts == 20


def test_bulk_fills_the_time_that_it_may_take_and_interactive_does_not() -> None:
    queue = BatchQueue(
        BatchLimits(requests=8, cost=100, bulk_s=2.0), lambda key, seconds: (125 if key == "a" else 10) * int(seconds)
    )
    for is_bulk in (True, False):
        for key in ("a", "b"):
            for index in range(4):
                queue.add(Waiting(index, key, cost=50, is_bulk=is_bulk))

    assert [len(queue.take_batch(1)) for _ in range(4)] == [2, 2, 2, 2]
    assert [len(queue.take_batch(1)) for _ in range(3)] == [4, 2, 2]


@pytest.mark.parametrize("is_bulk", [True, False])
def test_where_a_batch_would_take_too_long_it_shrinks_as_far_as_it_may(is_bulk: bool) -> None:
    cost_in_time = {"slow": 60, "slower": 10, "unknown": None}
    queue = BatchQueue(
        BatchLimits(requests=8, cost=100, bulk_s=1.0, min_cost=40), lambda key, _: cost_in_time[str(key)]
    )
    for key in cost_in_time:
        for index in range(12):
            queue.add(Waiting(index, key, cost=20, is_bulk=is_bulk))

    assert [len(queue.take_batch(1)) for _ in range(4)] == [3, 3, 3, 3]
    assert [len(queue.take_batch(1)) for _ in range(6)] == [2, 2, 2, 2, 2, 2]
    assert [len(queue.take_batch(1)) for _ in range(3)] == [5, 5, 2]


def test_a_batch_never_shrinks_below_the_usual_limit() -> None:
    limits = BatchLimits(requests=8, cost=100, bulk_s=1.0, min_cost=500)
    assert [limits.cost_within(10, is_bulk=is_bulk) for is_bulk in (True, False)] == [100, 100]


def test_what_comes_back_goes_first_in_its_order() -> None:
    queue = queue_of(*map(Waiting, range(4)))
    first = queue.take_batch(2)
    for request in reversed(first):
        queue.requeue(request)

    assert names(queue.take_batch(1)) == [0, 1, 2, 3]


def test_what_comes_back_is_reserved_and_no_longer_active() -> None:
    queue = queue_of()
    # A revocation kills the process that Celery knows as the request's.
    celery_request = FakeRequest(acknowledged=True)
    request = Waiting(1, celery_request=celery_request)

    queue.requeue(request)

    assert request.state is RequestState.WAITING
    assert celery_request.time_start is celery_request.worker_pid is None


@pytest.mark.parametrize("state", [RequestState.GONE, RequestState.WAITING])
def test_what_is_gone_or_revoked_is_left_out(state: RequestState) -> None:
    gone = Waiting(2, state=state)
    if state is RequestState.WAITING:
        gone.celery_request = FakeRequest(revoked=lambda: True)
    queue = queue_of(Waiting(1), gone, Waiting(3))

    assert names(queue.take_batch(1)) == [1, 3]
    assert len(queue) == 0
    assert gone.state is RequestState.GONE


def test_a_revocation_that_cannot_be_announced_stops_nobody_and_its_message_goes_back() -> None:
    def fail() -> bool:
        raise ConnectionError

    with Connection("memory://") as connection, connection.SimpleQueue("revoked") as broker:
        broker.put("x")
        revoked = FakeRequest(revoked=fail)
        revoked.message = broker.get(block=False)
        queue = queue_of(Waiting(1, celery_request=revoked), Waiting(2))

        assert names(queue.take_batch(1)) == [2]
        assert broker.get(block=False).headers == revoked.message.headers


def test_clearing_keeps_only_what_nobody_gives_again() -> None:
    requests = [
        Waiting(1),
        Waiting(2, celery_request=FakeRequest(acknowledged=True)),
        Waiting(3, celery_request=FakeRequest(acknowledged=False)),
    ]
    queue = queue_of(*requests)

    assert names(queue.drain()) == [2]
    assert len(queue) == 0
    assert queue.take_batch(1) == []


def test_full_batches_are_counted_by_requests_and_by_cost() -> None:
    assert not queue_of(*map(Waiting, range(15))).fills(2)
    assert queue_of(*map(Waiting, range(16))).fills(2)
    assert queue_of(Waiting(1, cost=200)).fills(2)


REQUESTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 60), st.booleans(), st.booleans()), min_size=1, max_size=60
)


@given(REQUESTS, st.integers(1, 4))
def test_every_member_leaves_once_in_a_batch_within_the_limits(
    drawn: list[tuple[str, int, bool, bool]], processes: int
) -> None:
    requests = [
        Waiting(index, key, cost=cost, is_bulk=bulk, runs_alone=alone)
        for index, (key, cost, bulk, alone) in enumerate(drawn)
    ]
    queue = queue_of(*requests)
    left: list[PendingRequest] = []
    waiting = list(requests)
    while batch := queue.take_batch(processes):
        assert len({(request.key, request.is_bulk) for request in batch}) == 1
        assert len(batch) == 1 or (len(batch) <= 8 and sum(request.cost for request in batch) <= 100)
        assert len(batch) == 1 or not any(request.runs_alone for request in batch)
        assert batch[0] is min(waiting, key=lambda request: (request.is_bulk, *names([request])))
        assert names(batch) == sorted(names(batch))
        waiting = [request for request in waiting if request not in batch]
        left += batch

    assert sorted(names(left)) == list(range(len(requests)))
    assert len(queue) == 0
    assert not queue.fills(1)
