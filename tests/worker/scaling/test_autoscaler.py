"""The autoscaler grows and shrinks a pool by the workload that it observes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from config import load_settings
from worker.inference.served_models import ServedModels
from worker.runtime import CeleriacApp, WorkerRuntime
from worker.scaling import autoscaler
from worker.scaling.autoscaler import Autoscaler
from worker.workload.monitor import ObservedWorkload, WorkloadMonitor
from worker.workload.queue_depth import DepthSample
from worker.workload.workload import Workload

QUEUE = "text-classification"
DRAIN_S, COOLDOWN_S = 2.0, 10.0


class Pool:
    """A pool whose processes need a free core to start, and are stopped only while idle."""

    def __init__(self) -> None:
        self.num_processes = 1
        self.cores = 8
        self.busy = 0
        self.grown: list[int] = []
        self.maintained = 0

    def grow(self, n: int) -> None:
        self.grown.append(n)
        if self.num_processes + n > self.cores:
            raise ValueError("no free cores")
        self.num_processes += n

    def shrink(self, n: int) -> None:
        if self.num_processes - n < self.busy:
            raise ValueError("all processes are busy")
        self.num_processes -= n

    def maintain_pool(self) -> None:
        self.maintained += 1

    def seconds_of(self, _: str | None) -> float:
        return 0.5


class Consumer:
    """Adds up the changes of the prefetch count."""

    def __init__(self) -> None:
        self.prefetch = 0

    def _update_prefetch_count(self, index: int) -> None:
        self.prefetch += index


class FixedWorkload(WorkloadMonitor):
    """Observes what the test says; None while Redis does not answer."""

    backlog_s: float | None = None
    arriving = 0.0

    def observe(self) -> ObservedWorkload | None:
        if self.backlog_s is None:
            return None
        sample = DepthSample(0.0, {QUEUE: 7}, {}, 0, {QUEUE: 1}, 0.0)
        return ObservedWorkload(Workload(self.backlog_s, self.arriving), sample, held=3, held_s=1.5)


class Clock:
    """The monotonic clock of the autoscaler."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(autoscaler, "time", made)
    return made


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> WorkerRuntime:
    monkeypatch.setenv("CELERIAC_SCALE_DRAIN_S", f"{DRAIN_S}")
    monkeypatch.setenv("CELERIAC_SCALE_COOLDOWN_S", f"{COOLDOWN_S}")
    return WorkerRuntime(load_settings(), ServedModels(()))


@pytest.fixture
def worker(runtime: WorkerRuntime) -> Iterator[SimpleNamespace]:
    app = CeleriacApp("tested", runtime=runtime, broker="memory://", set_as_current=False)
    made = SimpleNamespace(app=app, hostname="celery@here", pool=Pool(), consumer=Consumer())
    runtime.workload = FixedWorkload(made)
    yield made
    app.close()


@pytest.fixture
def pool(worker: SimpleNamespace) -> Pool:
    pool: Pool = worker.pool
    return pool


@pytest.fixture
def workload(runtime: WorkerRuntime) -> FixedWorkload:
    assert isinstance(runtime.workload, FixedWorkload)
    return runtime.workload


@pytest.fixture
def scaler(worker: SimpleNamespace) -> Autoscaler:
    return Autoscaler(worker.pool, 6, 1, worker=worker)


def needs(workload: FixedWorkload, processes: int) -> None:
    workload.backlog_s = processes * DRAIN_S


def test_it_grows_one_by_one_to_what_is_needed_and_prefetches_more(
    scaler: Autoscaler, pool: Pool, workload: FixedWorkload, worker: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    needs(workload, 4)

    with caplog.at_level(logging.INFO):
        scaler.maybe_scale()

    assert (pool.num_processes, scaler.wanted) == (4, 4)
    assert pool.grown == [1, 1, 1]
    assert worker.consumer.prefetch == 3
    assert pool.maintained == 1
    assert "scaling from 1 to 4 processes: 7 requests wait in the queues and 3 in this worker" in caplog.text


def test_it_never_leaves_its_range(scaler: Autoscaler, pool: Pool, workload: FixedWorkload, clock: Clock) -> None:
    needs(workload, 50)
    scaler.maybe_scale()
    assert pool.num_processes == 6

    workload.backlog_s = 0.0
    clock.now_s += 2 * COOLDOWN_S
    scaler.maybe_scale()
    assert pool.num_processes == 1


@pytest.mark.parametrize("fewest", [0, -3])
def test_a_worker_always_keeps_a_process(worker: SimpleNamespace, fewest: int) -> None:
    assert Autoscaler(worker.pool, 6, fewest, worker=worker).min_concurrency == 1


def test_it_keeps_up_with_arrivals_without_a_backlog(
    scaler: Autoscaler, pool: Pool, workload: FixedWorkload, runtime: WorkerRuntime
) -> None:
    workload.backlog_s, workload.arriving = 0.0, 3 * runtime.settings.scale.utilization

    scaler.maybe_scale()

    assert pool.num_processes == 3


def test_while_cores_are_missing_it_takes_those_there_are_and_tries_again_after_the_cooldown(
    scaler: Autoscaler,
    pool: Pool,
    workload: FixedWorkload,
    worker: SimpleNamespace,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool.cores = 3
    needs(workload, 5)

    scaler.maybe_scale()
    assert (pool.num_processes, pool.grown, worker.consumer.prefetch) == (3, [1, 1, 1], 2)
    assert "no free cores; the next attempt is in 10 s" in caplog.text

    pool.cores = 8
    clock.now_s += COOLDOWN_S / 2
    scaler.maybe_scale()
    assert (pool.num_processes, pool.grown) == (3, [1, 1, 1])

    clock.now_s += COOLDOWN_S
    scaler.maybe_scale()
    assert pool.num_processes == 5


def test_a_refusal_to_grow_does_not_keep_it_from_shrinking_to_a_new_range(
    scaler: Autoscaler, pool: Pool, workload: FixedWorkload, clock: Clock
) -> None:
    pool.cores = 4
    needs(workload, 6)
    scaler.maybe_scale()
    pool.busy = 4
    scaler.update(max=2, min=1)
    assert pool.num_processes == 4

    pool.busy = 0
    clock.now_s += 1.0
    scaler.maybe_scale()

    assert pool.num_processes == 2


def test_it_shrinks_after_the_cooldown_and_stops_only_idle_processes(
    scaler: Autoscaler, pool: Pool, workload: FixedWorkload, worker: SimpleNamespace, clock: Clock
) -> None:
    needs(workload, 5)
    scaler.maybe_scale()
    pool.busy = 3
    workload.backlog_s = 0.0

    clock.now_s += COOLDOWN_S - 1
    scaler.maybe_scale()
    assert pool.num_processes == 5

    clock.now_s += 1
    scaler.maybe_scale()
    assert (pool.num_processes, worker.consumer.prefetch) == (3, 2)

    pool.busy = 0
    scaler.maybe_scale()
    assert (pool.num_processes, worker.consumer.prefetch) == (1, 0)


def test_while_redis_does_not_answer_nothing_changes(
    scaler: Autoscaler, pool: Pool, workload: FixedWorkload, clock: Clock
) -> None:
    needs(workload, 4)
    scaler.maybe_scale()

    workload.backlog_s = None
    clock.now_s += 100 * COOLDOWN_S
    scaler.maybe_scale()

    assert (pool.num_processes, scaler.wanted, pool.maintained) == (4, 4, 1)


def test_a_pool_of_the_right_size_is_left_alone(scaler: Autoscaler, pool: Pool, workload: FixedWorkload) -> None:
    needs(workload, 1)

    scaler.maybe_scale()

    assert (pool.grown, pool.maintained, scaler.wanted) == ([], 0, 1)


def test_a_request_is_counted_and_decides_nothing(scaler: Autoscaler, pool: Pool, workload: FixedWorkload) -> None:
    needs(workload, 4)
    request: Any = SimpleNamespace(delivery_info={"routing_key": QUEUE})

    scaler.maybe_scale(request)
    scaler.maybe_scale(request)

    assert workload._fetched_s == 1.0
    assert (pool.num_processes, scaler.wanted) == (1, None)


def test_a_new_range_is_in_force_at_once(scaler: Autoscaler, pool: Pool, worker: SimpleNamespace) -> None:
    assert scaler.update(max=8, min=3) == (8, 3)
    assert (pool.num_processes, pool.maintained, worker.consumer.prefetch) == (3, 1, 2)

    assert scaler.update(max=2, min=1) == (2, 1)
    assert (pool.num_processes, pool.maintained, worker.consumer.prefetch) == (2, 2, 1)


def test_a_range_for_which_there_are_no_cores_is_reached_as_far_as_possible(
    scaler: Autoscaler, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.cores = 2

    assert scaler.update(max=6, min=4) == (6, 4)

    assert pool.num_processes == 2
    assert "no free cores" in caplog.text


def test_its_statistics_have_the_range_and_what_it_last_decided_on(scaler: Autoscaler, workload: FixedWorkload) -> None:
    before = scaler.info()
    assert (before["max"], before["min"], before["current"]) == (6, 1, 1)
    assert "needed" not in before

    workload.backlog_s, workload.arriving = 4.56789, 0.12345
    scaler.maybe_scale()

    after = scaler.info()
    assert (after["backlog-seconds"], after["arriving-seconds-per-second"], after["needed"]) == (4.568, 0.123, 3)
    assert after["current"] == 3


def test_a_plain_celery_app_has_no_runtime_to_scale_by() -> None:
    with pytest.raises(TypeError, match="not an app of Celeriac"):
        Autoscaler(Pool(), 2, 1, worker=SimpleNamespace(app=object()))
