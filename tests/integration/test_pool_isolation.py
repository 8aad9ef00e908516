"""One bad request in a batch of 32 affects no other, and ends no process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from examples.local_stack import PATIENCE_S
from tests.worker.pool.pool_stack import OURS, Events, PoolStack

SIZE = 32
#: Position of the bad request in the batch.
GUILTY = 17
STARTED = ["task-received", "task-started"]


@pytest.fixture
def stack(stack_of: Callable[[str], PoolStack]) -> PoolStack:
    """A worker with one process in our pool."""
    return stack_of(OURS)


def run(stack: PoolStack, name: str = "probe", **guilty: Any) -> tuple[AsyncResult, list[AsyncResult]]:
    """Run a batch in which one request misbehaves."""
    requests: list[dict[str, Any]] = [{"name": name, "value": index} for index in range(SIZE)]
    requests[GUILTY] |= guilty
    sent = stack.gathered(requests)
    return sent[GUILTY], [result for result in sent if result is not sent[GUILTY]]


def check_others(stack: PoolStack, events: Events, target: AsyncResult, others: list[AsyncResult]) -> None:
    """Check that all others have succeeded once, in one batch with the target, and that no message is left."""
    values = [stack.get(other)["value"] for other in others]
    assert values == [index for index in range(SIZE) if index != GUILTY]
    stack.wait_for_events(events, [target, *others])
    for other in others:
        types = events.of(other)
        assert types[0] == "task-received"
        assert types[-1] == "task-succeeded"
        assert set(types) == {*STARTED, "task-succeeded"}
        assert types.count("task-succeeded") == 1
        assert stack.client.AsyncResult(other.id).state == "SUCCESS"
    first = next(ids for ids in stack.notes("computed") if target.id in ids)
    assert set(first) == {target.id, *(other.id for other in others)}
    stack.worker.wait_for(lambda: stack.unacknowledged() == 0)
    assert len(stack.pids()) == 1
    assert stack.inspect("active") == stack.inspect("reserved") == []
    assert stack.get(stack.send(value="after"))["value"] == "after"


@pytest.mark.parametrize("name", ["probe", "early"])
@pytest.mark.parametrize("do", ["raise", "memory"])
def test_one_that_raises_fails_alone(stack: PoolStack, events: Events, do: str, name: str) -> None:
    pids = stack.pids()

    target, others = run(stack, name, do=do, value="guilty")

    assert stack.failure(target) == ("ValueError" if do == "raise" else "MemoryError", ("guilty",))
    check_others(stack, events, target, others)
    assert events.of(target) == [*STARTED, "task-failed"]
    assert stack.pids() == pids


@pytest.mark.parametrize("name", ["probe", "early", "redelivered"])
@pytest.mark.parametrize(
    ("do", "value"),
    [("os_exit", 7), ("sys_exit", 3), ("signal", signal.SIGSEGV), ("signal", signal.SIGKILL)],
)
def test_one_that_ends_its_process_fails_alone_after_three_times(
    stack: PoolStack, events: Events, do: str, value: int, name: str
) -> None:
    target, others = run(stack, name, do=do, value=value)

    error, (message, details) = stack.failure(target)
    assert error == "ModelFailed"
    assert "processes died" in message
    assert details["code"] == "process_died"
    check_others(stack, events, target, others)
    assert events.of(target)[-1] == "task-failed"
    assert events.of(target).count("task-failed") == 1
    # First in its batch, where it may not end the process, and then alone.
    assert len([ids for ids in stack.notes("computed") if ids == [target.id]]) >= 2
    assert "WorkerLostError" not in str(events.last(target))


@pytest.mark.parametrize("sent_signal", ["SIGTERM", "SIGKILL"])
def test_one_that_is_terminated_is_revoked_alone(
    stack: PoolStack, events: Events, tmp_path: Path, sent_signal: str
) -> None:
    pids = stack.pids()
    gate = tmp_path / "gate"
    target, others = run(stack, do="hang", value=str(gate))
    stack.worker.wait_for(Path(f"{gate}.held").exists)

    stack.client.control.revoke(target.id, terminate=True, signal=sent_signal)

    assert stack.failure(target)[0] == "TaskRevokedError"
    check_others(stack, events, target, others)
    assert events.of(target) == [*STARTED, "task-revoked"]
    assert stack.client.AsyncResult(target.id).state == "REVOKED"
    assert stack.computations(target) == 1
    assert not stack.pids() & pids


@pytest.mark.parametrize("name", ["probe", "early"])
def test_one_that_waits_again_is_reserved_and_is_revoked_without_ending_a_process(
    stack: PoolStack, events: Events, tmp_path: Path, name: str
) -> None:
    gate = tmp_path / "gate"
    first, second = stack.gathered([{"name": name, "do": "die_then_hang", "value": str(gate)}, {"name": name}])
    stack.worker.wait_for(Path(f"{gate}.held").exists)
    pids = stack.pids()

    active, reserved = stack.inspect("active"), stack.inspect("reserved")
    stack.client.control.revoke(second.id, terminate=True, reply=True, timeout=PATIENCE_S, limit=1)
    gate.touch()

    assert [found["id"] for found in active] == [first.id]
    assert [found["id"] for found in reserved] == [second.id]
    assert stack.get(first)["pid"] in pids
    assert stack.failure(second)[0] == "TaskRevokedError"
    stack.wait_for_events(events, [first, second])
    assert events.of(second) == [*STARTED, "task-revoked"]
    assert stack.pids() == pids


@pytest.mark.parametrize("name", ["probe", "early"])
def test_one_over_its_soft_limit_fails_alone(stack: PoolStack, events: Events, name: str) -> None:
    pids = stack.pids()

    target, others = run(stack, name, do="last", value=3600, soft_time_limit=0.3)

    assert stack.failure(target)[0] == "SoftTimeLimitExceeded"
    check_others(stack, events, target, others)
    assert events.of(target) == [*STARTED, "task-failed"]
    assert stack.pids() == pids


@pytest.mark.parametrize("name", ["probe", "early"])
def test_one_over_its_hard_limit_fails_alone(stack: PoolStack, events: Events, name: str) -> None:
    target, others = run(stack, name, do="last", value=3600, time_limit=0.3)

    assert stack.failure(target)[0] == "TimeLimitExceeded"
    check_others(stack, events, target, others)
    assert stack.computations(target) == 1


def test_one_that_cannot_be_pickled_fails_alone(stack: PoolStack, events: Events) -> None:
    # JSON can encode this; Python's pickler cannot before 3.12.
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    requests: list[dict[str, Any]] = [{"value": index} for index in range(SIZE)]
    requests[GUILTY]["kwargs"] = {"deep": deep}

    sent = stack.gathered(requests)

    values = [stack.get(result)["value"] for result in sent if result is not sent[GUILTY]]
    assert values == [index for index in range(SIZE) if index != GUILTY]
    assert isinstance(sent[GUILTY].get(timeout=PATIENCE_S, propagate=False), (RecursionError, dict))
    stack.wait_for_events(events, sent)
    stack.worker.wait_for(lambda: stack.unacknowledged() == 0)


def test_a_batch_whose_process_dies_while_it_stores_is_not_computed_again(stack: PoolStack, events: Events) -> None:
    target, others = run(stack, do="die_late", value=signal.SIGKILL)

    # Its success is not stored. The results before it were not stored yet either, so they run once more.
    assert stack.failure(target)[0] == "ModelFailed"
    check_others(stack, events, target, others)


def test_all_processes_come_back(tmp_path: Path) -> None:
    with PoolStack(tmp_path, OURS, ["--concurrency=3"]) as stack:
        stack.worker.wait_for(lambda: stack.stats()["pool"]["writes"]["inqueues"]["total"] == 3)
        deadly = [stack.send(do="os_exit", value=1) for _ in range(4)]
        good = [stack.send(value=index) for index in range(40)]

        assert [stack.get(result)["value"] for result in good] == list(range(40))
        assert {stack.failure(result)[0] for result in deadly} == {"ModelFailed"}
        stack.worker.wait_for(lambda: stack.stats()["pool"]["writes"]["inqueues"]["total"] == 3)
        assert len(stack.pids()) == 3
        assert stack.unacknowledged() == 0
