"""What our worker does when its pool grows, forks, starts and loses processes; with real core leases."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery.worker import state

from config import load_settings
from examples.local_stack import LocalServer
from models.engine.usage import Usage
from producer.contract import ErrorCode, ModelFailed
from tests.worker.transport.helpers import Looped, publish
from worker.boot.pool_hooks import MAX_FAILED_STARTS, InferenceHooks
from worker.boot.start_reports import StartReport
from worker.cores.leases import LeaseRequest, Leases, LeasingError, take_leases
from worker.cores.topology import Core
from worker.endpoints.server import listen
from worker.inference.served_models import ServedModels
from worker.observability.metrics.meter import RestartReason
from worker.pool import ComputedBatch, ProcessExit
from worker.runtime import WorkerRuntime
from worker.transport.dead_letters import Attempt, DeadReason

CORES = [Core(number, 0, 0) for number in range(4)]
DIED, FAILED = RestartReason.DIED, RestartReason.FAILED_TO_START


def request(directory: Path, holder: str = "celery@here") -> LeaseRequest:
    return LeaseRequest(directory, CORES, 1, holder, allow_sharing=False)


def free(directory: Path) -> int:
    """How many cores another worker could lease now."""
    try:
        leases = take_leases(request(directory, "celery@other"), len(CORES))
    except LeasingError:
        return 0
    release(leases)
    return len(leases.sets)


def release(leases: Leases) -> None:
    for core_set in leases.sets.values():
        core_set.close()


@pytest.fixture(autouse=True)
def _celerys_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery's flag that stops a worker, as it was before the test afterwards."""
    monkeypatch.setattr(state, "should_stop", None)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[WorkerRuntime]:
    """A worker with two processes' leases."""
    made = WorkerRuntime(load_settings(), ServedModels(()))
    made.leases = take_leases(request(tmp_path), 2)
    yield made
    release(made.leases)


@pytest.fixture
def hooks(runtime: WorkerRuntime) -> Iterator[InferenceHooks]:
    made = InferenceHooks(runtime)
    made.open_reports()
    yield made
    reports = made._reports
    assert reports is not None
    os.close(reports._read_end)
    os.close(reports._write_end)


def exit_status() -> object:
    """The status with which Celery was told to stop; None if it was not."""
    return state.should_stop


def leases_of(runtime: WorkerRuntime) -> dict[int, tuple[int, ...]]:
    return {index: core_set.cores for index, core_set in runtime.started_leases().sets.items()}


def ready(hooks: InferenceHooks, pid: int, index: int = 0, up: int = 1, wanted: int = 2) -> None:
    """A process reports that it is up, and the pool notices."""
    hooks.report(StartReport(pid, index, (index,), 1.23456, None, {}, {"mine": f"revision{index}"}))
    hooks.on_started(pid, up, wanted)


def exits(
    hooks: InferenceHooks,
    pid: int,
    *,
    was_ordered: bool = False,
    is_pool_running: bool = True,
    cause: str | None = None,
    alive: tuple[int, ...] = (0, 1),
) -> None:
    """A process ends, after it has reported why, if it could."""
    if cause is not None:
        hooks.report(StartReport(pid, 0, (), 0.0, cause))
    ended = ProcessExit(
        pid, "signal 9 (SIGKILL)", had_started=False, was_ordered=was_ordered, is_pool_running=is_pool_running
    )
    hooks.on_exit(ended, alive, 2)


def test_growing_leases_a_core_for_each_process(hooks: InferenceHooks, runtime: WorkerRuntime, tmp_path: Path) -> None:
    hooks.before_grow(1)

    assert leases_of(runtime) == {0: (0,), 1: (1,), 2: (2,)}
    assert free(tmp_path) == 1


def test_a_pool_does_not_grow_onto_the_cores_of_another_worker(
    hooks: InferenceHooks, runtime: WorkerRuntime, tmp_path: Path
) -> None:
    other = take_leases(request(tmp_path, "celery@other"), 1)
    try:
        with pytest.raises(ValueError, match=r"cannot grow by 2: .* is leased by celery@other"):
            hooks.before_grow(2)
        assert len(leases_of(runtime)) == 2
    finally:
        release(other)


def test_a_new_process_has_the_cores_of_one_that_is_gone(hooks: InferenceHooks, runtime: WorkerRuntime) -> None:
    hooks.before_fork(5, alive=(0,))

    assert leases_of(runtime) == {0: (0,), 5: (1,)}


def test_a_replacement_keeps_the_cores_of_its_index(hooks: InferenceHooks, runtime: WorkerRuntime) -> None:
    hooks.before_fork(1, alive=(0,))

    assert leases_of(runtime) == {0: (0,), 1: (1,)}


def test_a_process_that_is_not_replaced_gives_its_core_back(
    hooks: InferenceHooks, runtime: WorkerRuntime, tmp_path: Path
) -> None:
    hooks.before_grow(2)
    assert free(tmp_path) == 0

    exits(hooks, 11, was_ordered=True, alive=(0, 2, 3))

    # Two are wanted, and three live: only the core that nobody is on is free.
    assert leases_of(runtime) == {0: (0,), 2: (2,), 3: (3,)}
    assert free(tmp_path) == 1


def test_a_worker_whose_processes_cannot_start_stops_after_three_in_a_row(
    hooks: InferenceHooks, runtime: WorkerRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    for pid in range(MAX_FAILED_STARTS - 1):
        exits(hooks, pid, cause="RuntimeError: no model")
    assert exit_status() is None

    exits(hooks, 99)

    assert exit_status() == os.EX_SOFTWARE
    assert runtime.meter.restarts == {FAILED: MAX_FAILED_STARTS}
    assert "process 0 could not start (1 in a row): RuntimeError: no model" in caplog.text
    assert "process 99 could not start (3 in a row): it ended with signal 9 (SIGKILL) while loading" in caplog.text
    assert "stopping: 3 processes in a row could not start" in caplog.text


def test_a_start_that_succeeds_begins_the_count_anew(hooks: InferenceHooks, runtime: WorkerRuntime) -> None:
    for pid in (1, 2):
        exits(hooks, pid)
    ready(hooks, 3)
    for pid in (4, 5):
        exits(hooks, pid)

    assert exit_status() is None
    assert runtime.meter.restarts == {FAILED: 4, DIED: 0}


def test_a_process_that_dies_while_it_serves_is_no_failed_start(hooks: InferenceHooks, runtime: WorkerRuntime) -> None:
    for pid in range(2 * MAX_FAILED_STARTS):
        ready(hooks, pid)
        exits(hooks, pid)

    assert exit_status() is None
    assert runtime.meter.restarts == {DIED: 2 * MAX_FAILED_STARTS, FAILED: 0}


def test_a_process_that_reports_and_dies_before_the_pool_has_noticed_had_started(
    hooks: InferenceHooks, runtime: WorkerRuntime
) -> None:
    hooks.report(StartReport(7, 0, (0,), 1.0, None))
    exits(hooks, 7)

    assert runtime.meter.restarts == {DIED: 1}


@pytest.mark.parametrize(("was_ordered", "is_pool_running"), [(True, True), (False, False)])
@pytest.mark.parametrize("had_started", [True, False])
def test_an_end_that_was_ordered_is_neither(
    hooks: InferenceHooks, runtime: WorkerRuntime, was_ordered: bool, is_pool_running: bool, had_started: bool
) -> None:
    for pid in range(2 * MAX_FAILED_STARTS):
        if had_started:
            ready(hooks, pid)
        exits(hooks, pid, was_ordered=was_ordered, is_pool_running=is_pool_running)

    assert exit_status() is None
    assert runtime.meter.restarts.total() == 0


def test_the_cores_and_start_up_times_are_those_of_the_processes_that_live(hooks: InferenceHooks) -> None:
    ready(hooks, 10, index=0)
    ready(hooks, 11, index=1)
    assert hooks.describe() == {
        "cores": {"10": [0], "11": [1]},
        "start-seconds": {"10": 1.235, "11": 1.235},
        "arithmetic": {},
        "revisions": {"10": {"mine": "revision0"}, "11": {"mine": "revision1"}},
        "model-exchange": {"phase": "idle"},
    }

    exits(hooks, 10)
    assert hooks.describe() == {
        "cores": {"11": [1]},
        "start-seconds": {"11": 1.235},
        "arithmetic": {},
        "revisions": {"11": {"mine": "revision1"}},
        "model-exchange": {"phase": "idle"},
    }


def test_the_log_says_once_when_all_processes_are_ready(
    hooks: InferenceHooks, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        ready(hooks, 10)
        assert "are ready" not in caplog.text
        ready(hooks, 11)

    assert caplog.text.count("all 2 processes are ready") == 1


def test_a_batch_teaches_the_speed_and_is_counted_where_there_is_monitoring(
    hooks: InferenceHooks, runtime: WorkerRuntime
) -> None:
    runtime.meter.set_models({"text-classification": ["sentiment"]})
    batch = ComputedBatch(("text-classification", None), 8, 1000, 5.0, Usage(1, 50, 14, 4.0))
    sizes = runtime.meter.batches["text-classification", "sentiment"].sizes
    expected_s = runtime.throughput.estimate_s(1000)

    hooks.on_batch(batch)
    assert runtime.throughput.estimate_s(1000) == pytest.approx(5.0) != expected_s
    assert sizes.sum == 0

    with listen("127.0.0.1", 0) as runtime.monitoring_socket:
        hooks.on_batch(batch)
    assert sizes.sum == 8


def test_until_a_batch_is_measured_the_slowest_start_says_how_much_work_is_held(
    hooks: InferenceHooks, runtime: WorkerRuntime
) -> None:
    for pid, token_s in ((10, {"text-classification": 0.002, "question-answering": 0.004}), (11, {"other": 0.001})):
        hooks.report(StartReport(pid, 0, (0,), 1.0, None, token_s=token_s))
        hooks.on_started(pid, 1, 2)

    assert runtime.throughput.estimate_s(1000) == pytest.approx(1.0)
    assert runtime.throughput.bytes_in(2.0) == pytest.approx(2000, abs=1)


def test_a_start_without_a_pace_leaves_the_guess(hooks: InferenceHooks, runtime: WorkerRuntime) -> None:
    guessed_s = runtime.throughput.estimate_s(1000)
    ready(hooks, 10)
    assert runtime.throughput.estimate_s(1000) == guessed_s


def test_the_contract_decides_which_queues_are_bulk(hooks: InferenceHooks) -> None:
    queues = ["text-classification.bulk", "model.bulk:nli", "text-classification", "model:nli", "celery", None]

    assert [hooks.is_bulk(queue) for queue in queues] == [True, True, False, False, False, False]


def test_a_request_whose_process_died_ends_with_the_contracts_error(hooks: InferenceHooks) -> None:
    error = hooks.process_died("it ended its process three times")

    assert isinstance(error, ModelFailed)
    assert (error.code, error.message) == (ErrorCode.PROCESS_DIED, "it ended its process three times")


def test_batches_have_the_limits_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_BATCH_MAX_REQUESTS", "7")
    monkeypatch.setenv("CELERIAC_BATCH_MAX_COST", "77")
    monkeypatch.setenv("CELERIAC_BATCH_BULK_S", "0.7")
    monkeypatch.setenv("CELERIAC_BATCH_MAX_TOKENS", "17")

    limits = InferenceHooks(WorkerRuntime(load_settings(), ServedModels(()))).batch_limits

    assert (limits.requests, limits.cost, limits.bulk_s, limits.min_cost) == (7, 77, 0.7, 17)


def test_without_a_worker_there_is_nobody_to_report_to_and_nothing_to_lease() -> None:
    hooks = InferenceHooks(WorkerRuntime(load_settings(), ServedModels(())))

    with pytest.raises(RuntimeError, match="no worker has started"):
        hooks.report(StartReport(1, 0, (), 0.0, None))
    with pytest.raises(RuntimeError, match="no worker has started"):
        hooks.before_grow(1)


def test_a_request_that_is_given_up_is_kept_with_its_attempts(
    runtime: WorkerRuntime, own_server: LocalServer, own_redis: redis.Redis
) -> None:
    publish(own_server.url, "q", "deadly")
    with Looped(own_server.url, "q") as looped:
        looped.until_received(1)
        InferenceHooks(runtime).on_given_up(looped.messages[0], "its workers died", [(1.5, "first@here")])
        (letter,) = looped.channel.dead_letters.newest_first()
    assert (letter.reason, letter.problem, letter.queue) == (DeadReason.TOO_MANY_ATTEMPTS, "its workers died", "q")
    assert letter.attempts == (Attempt(1.5, "first@here"),)
    assert not own_redis.exists("unacked", "q")


def test_a_request_that_another_worker_has_claimed_is_left_to_it(
    runtime: WorkerRuntime, own_server: LocalServer, own_redis: redis.Redis
) -> None:
    publish(own_server.url, "q", "theirs")
    with Looped(own_server.url, "q") as looped:
        looped.until_received(1)
        InferenceHooks(runtime).on_superseded(looped.messages[0])
        assert looped.channel.qos.held_count == 0
    assert (own_redis.hlen("unacked"), own_redis.llen("q")) == (1, 0)
