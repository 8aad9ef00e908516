"""How much longer than its limit a batch may take, if it is expected to take long."""

from __future__ import annotations

from collections.abc import Hashable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.worker.pool.fakes import FakeRequest, no_tracer, tracer_arguments
from worker.pool import PoolHooks
from worker.pool.batch import Batch
from worker.pool.dispatcher import Dispatcher
from worker.pool.pending_request import PendingRequest


class Paced(PoolHooks):
    """Expects a tenth of a second per unit of cost."""

    def expected_s(self, key: Hashable, cost: int) -> float:
        return cost / 10 if key == "known" else 0.0


def request(cost: int, *, limit_s: float | None = 40.0, own_limit_s: float | None = None) -> PendingRequest:
    celery_request = FakeRequest()
    celery_request.time_limits = (None, own_limit_s)
    options: Any = {"soft_timeout": limit_s, "timeout": limit_s and limit_s + 5}
    return PendingRequest(no_tracer, tracer_arguments("id"), options, celery_request, key="known", cost=cost)


def extra_s(dispatcher: Dispatcher, *requests: PendingRequest) -> float:
    return dispatcher._extra_s(Batch(requests, print, print, PoolHooks()))


@pytest.fixture
def dispatcher() -> Dispatcher:
    return Dispatcher(cast("Any", SimpleNamespace()), Paced())


@pytest.mark.parametrize(("cost", "expected"), [(1, 0.0), (80, 0.0), (100, 10.0), (1000, 460.0)])
def test_what_is_expected_to_take_more_than_a_fifth_of_its_limit_gets_more(
    dispatcher: Dispatcher, cost: int, expected: float
) -> None:
    assert extra_s(dispatcher, request(cost)) == pytest.approx(expected)


def test_requests_of_a_batch_are_expected_to_take_the_sum(dispatcher: Dispatcher) -> None:
    assert extra_s(dispatcher, request(60), request(60)) == pytest.approx(20.0)


def test_a_limit_of_the_message_itself_is_never_extended(dispatcher: Dispatcher) -> None:
    assert extra_s(dispatcher, request(1000, own_limit_s=0.5)) == 0.0
    assert extra_s(dispatcher, request(1000), request(1000, own_limit_s=0.5)) == 0.0


def test_what_has_no_limit_needs_no_extension(dispatcher: Dispatcher) -> None:
    assert extra_s(dispatcher, request(1000, limit_s=None)) == 0.0


def test_what_was_measured_counts_if_it_is_slower_than_the_start(dispatcher: Dispatcher) -> None:
    dispatcher._throughput.observe("known", 10, 10.0)
    assert extra_s(dispatcher, request(10)) == pytest.approx(10.0)


def test_a_plain_app_expects_nothing() -> None:
    assert extra_s(Dispatcher(cast("Any", SimpleNamespace()), PoolHooks()), request(1000)) == 0.0
