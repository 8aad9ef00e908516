"""How long held messages are estimated to take, and how much is admitted beside them."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from celery.worker import state
from hypothesis import given
from hypothesis import strategies as st

from config import Settings
from tests.producer.helpers import wait_until
from worker.inference.served_models import ServedModels
from worker.intake.prefetch_gate import HeldWorkAdmission, PrefetchGate
from worker.pool.throughput import ByteThroughput
from worker.results.store_watch import StoreWatch
from worker.runtime import CeleriacApp, WorkerRuntime
from worker.transport.admission import Admission, Credit

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


def test_what_is_expected_replaces_the_first_guess_until_something_is_measured() -> None:
    estimator = ByteThroughput()
    estimator.expect(0.1)
    assert estimator.estimate_s(500) == pytest.approx(50.0)
    assert estimator.bytes_in(2.0) == 20

    estimator.observe(1000, 2.0)
    estimator.expect(0.1)

    assert estimator.estimate_s(500) == pytest.approx(1.0)


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


def admission(
    monkeypatch: pytest.MonkeyPatch,
    *held_bytes: int,
    processes: int = 2,
    up: int | None = None,
    storing: StoreWatch | None = None,
) -> HeldWorkAdmission:
    """For processes that take a second for 1,000 bytes, and have 10 s each."""
    monkeypatch.setattr(state, "reserved_requests", [SimpleNamespace(body="x" * size) for size in held_bytes])
    pool = SimpleNamespace(num_processes=processes, num_up=processes if up is None else up)
    return HeldWorkAdmission(pool, estimator_after([(1000, 1.0)]), 10.0, storing or StoreWatch())


def test_what_the_processes_finish_within_the_limit_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert admission(monkeypatch).credit() == Credit(body_bytes=20_000)
    assert admission(monkeypatch, 3000, 4000, 5000).credit() == Credit(body_bytes=8000)


def test_nothing_is_admitted_once_the_held_requests_take_as_long_as_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not admission(monkeypatch, 10_000, 10_000).credit()
    assert not admission(monkeypatch, 50_000, 10).credit()


def test_a_worker_with_fewer_requests_than_processes_always_gets_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert admission(monkeypatch, 50_000).credit() == Credit(body_bytes=1)


def test_a_process_that_is_not_up_is_admitted_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    assert admission(monkeypatch, up=0).credit() == Credit(body_bytes=1)
    assert admission(monkeypatch, 10, up=0).credit() == Credit(body_bytes=1)
    assert not admission(monkeypatch, 10, 10, up=0).credit()
    assert admission(monkeypatch, 10, 10, up=1).credit() == Credit(body_bytes=9980)


def test_celerys_own_pool_counts_as_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "reserved_requests", [])
    pool = SimpleNamespace(num_processes=2)
    assert HeldWorkAdmission(pool, estimator_after([(1000, 1.0)]), 10.0, StoreWatch()).credit() == Credit(
        body_bytes=20_000
    )


def test_a_pool_that_has_grown_is_admitted_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert admission(monkeypatch, 20_000, processes=3).credit() == Credit(body_bytes=10_000)


def test_the_step_gives_every_new_channel_its_admission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "reserved_requests", [])
    given_to: list[Admission] = []
    consumer = SimpleNamespace(
        app=CeleriacApp("gate", runtime=WorkerRuntime(Settings(), ServedModels([])), set_as_current=False),
        pool=SimpleNamespace(num_processes=1),
        task_consumer=SimpleNamespace(channel=SimpleNamespace(admit_by=given_to.append)),
    )
    PrefetchGate(consumer).start(consumer)
    assert given_to[0].credit()


def test_nothing_is_fetched_while_results_cannot_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    can_store = threading.Event()

    def probe() -> None:
        if not can_store.is_set():
            raise ConnectionError("gone")

    storing = StoreWatch(probe)
    gate = admission(monkeypatch, storing=storing)
    assert gate.credit()
    storing.fail("gone")
    assert not gate.credit()
    can_store.set()
    wait_until(lambda: bool(gate.credit()))
