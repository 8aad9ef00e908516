"""One bad request of a batch of 32 harms none of the others, and costs no process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from tests.worker.pool_stack import OURS, Events, PoolStack

SIZE = 32
#: Where in the batch the guilty one is.
GUILTY = 17
STARTED = ["task-received", "task-started"]


@pytest.fixture
def stack(stack_of: Callable[[str], PoolStack]) -> PoolStack:
    """A worker with one process in our pool."""
    return stack_of(OURS)


def run(stack: PoolStack, name: str = "probe", **guilty: Any) -> tuple[AsyncResult, list[AsyncResult]]:
    """Have a batch computed, one of which does something."""
    requests: list[dict[str, Any]] = [{"name": name, "value": index} for index in range(SIZE)]
    requests[GUILTY] |= guilty
    sent = stack.gathered(requests)
    return sent[GUILTY], [result for result in sent if result is not sent[GUILTY]]


def check_others(stack: PoolStack, events: Events, target: AsyncResult, others: list[AsyncResult]) -> None:
    """All others have succeeded, once; all were in one batch with the target; nothing is left behind."""
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
    # In its batch, where a process that only wants to leave is held back, and then alone.
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


def test_one_that_waits_again_is_revoked_without_ending_another_process(
    stack: PoolStack, events: Events, tmp_path: Path
) -> None:
    # The first dies with its batch; while it hangs alone, the second, which was in the same batch, is revoked.
    gate = tmp_path / "gate"
    with stack.held():
        first = stack.send(do="signal", value=signal.SIGSEGV)
        second = stack.send(value="second")
        stack.wait_until_received([first, second])
        blocker = stack.send(do="hang", value=str(gate), kwargs={"key": "other"})
        stack.wait_until_received([blocker])
    stack.failure(first)
    stack.get(second)
    stack.worker.wait_for(Path(f"{gate}.held").exists)
    pids = stack.pids()
    stack.client.control.revoke(second.id, terminate=True, reply=True, timeout=10, limit=1)
    gate.touch()

    assert stack.get(blocker)["pid"] in pids
    stack.wait_for_events(events, [second])
    assert stack.client.AsyncResult(second.id).state == "SUCCESS"


@pytest.mark.parametrize("name", ["probe", "early"])
def test_one_over_its_soft_limit_fails_alone(stack: PoolStack, events: Events, name: str) -> None:
    pids = stack.pids()

    target, others = run(stack, name, do="sleep", value=60, soft_time_limit=0.3)

    assert stack.failure(target)[0] == "SoftTimeLimitExceeded"
    check_others(stack, events, target, others)
    assert events.of(target) == [*STARTED, "task-failed"]
    assert stack.pids() == pids


@pytest.mark.parametrize("name", ["probe", "early"])
def test_one_over_its_hard_limit_fails_alone(stack: PoolStack, events: Events, name: str) -> None:
    target, others = run(stack, name, do="sleep", value=60, time_limit=0.3)

    assert stack.failure(target)[0] == "TimeLimitExceeded"
    check_others(stack, events, target, others)
    assert stack.computations(target) == 1


def test_one_that_cannot_be_pickled_fails_alone(stack: PoolStack, events: Events) -> None:
    # JSON's parser takes what Python's pickler finds nested too deep.
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    target, others = run(stack, value=None, kwargs={"deep": deep})

    stack.get(target)
    check_others(stack, events, target, others)


def test_a_batch_whose_process_dies_while_it_stores_is_not_computed_again(stack: PoolStack, events: Events) -> None:
    target, others = run(stack, do="die_late", value=signal.SIGKILL)

    # Its success is not stored; those before it were not written yet, and run once more.
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
