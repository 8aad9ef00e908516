"""Revocation, deadlines and time limits, in our pool and in Celery's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from examples.local_stack import PATIENCE_S
from tests.worker.pool.pool_stack import OURS, OURS_ONLY, STOCK, Events, PoolStack

STARTED = ["task-received", "task-started"]
COMPANY: list[dict[str, Any]] = [{"value": "company"}] * 3
LONG: dict[str, Any] = {"do": "last", "value": 3600}
NAMES = pytest.mark.parametrize("name", ["probe", "early", "plain"])
#: Celery's own pool takes up to five seconds to notice the end of a process, so it runs only one of these.
ENDS_A_PROCESS = pytest.mark.parametrize(
    ("stack", "name"), [(OURS, "probe"), (OURS, "early"), (OURS, "plain"), (STOCK, "probe")], indirect=["stack"]
)


def settle(stack: PoolStack, pids: set[int]) -> None:
    """Wait until the pool has replaced its process and everything is acknowledged."""
    stack.worker.wait_for(lambda: len(stack.pids()) == len(pids) and stack.unacknowledged() == 0)
    assert stack.get(stack.send(value="after"))["value"] == "after"


@NAMES
@pytest.mark.parametrize("terminate", [False, True])
def test_what_waits_is_revoked_and_never_computed(stack: PoolStack, events: Events, name: str, terminate: bool) -> None:
    pids = stack.pids()
    with stack.held():
        target, *others = [stack.send(name, **request) for request in ({"value": 1}, *COMPANY)]
        stack.wait_until_received([target, *others])
        stack.client.control.revoke(target.id, terminate=terminate, reply=True, timeout=PATIENCE_S, limit=1)

    assert stack.failure(target)[0] == "TaskRevokedError"
    for other in others:
        assert stack.get(other)["value"] == "company"
    stack.wait_for_events(events, [target])
    assert events.of(target) == ["task-received", "task-revoked"]
    assert not events.last(target)["terminated"]
    assert stack.computations(target) == 0
    assert stack.signals_of(target) == ["task_received", "task_revoked"]
    settle(stack, pids)
    assert stack.pids() == pids


@ENDS_A_PROCESS
def test_what_runs_is_terminated_and_its_process_replaced(
    stack: PoolStack, events: Events, tmp_path: Path, name: str
) -> None:
    pids = stack.pids()
    target = stack.send(name, "hang", str(tmp_path / "never"))
    stack.worker.wait_for((tmp_path / "never.held").exists)
    waiting = stack.send(value="waited")
    stack.wait_until_received([target, waiting])

    stack.client.control.revoke(target.id, terminate=True)

    assert stack.failure(target)[0] == "TaskRevokedError"
    assert stack.get(waiting)["value"] == "waited"
    stack.wait_for_events(events, [target, waiting])
    assert events.of(target) == [*STARTED, "task-revoked"]
    assert events.last(target)["terminated"]
    assert events.of(waiting) == [*STARTED, "task-succeeded"]
    settle(stack, pids)
    assert not stack.pids() & pids


@NAMES
def test_what_is_too_late_when_its_turn_comes_is_not_computed(stack: PoolStack, events: Events, name: str) -> None:
    expires = datetime.now(UTC) + timedelta(seconds=1)
    with stack.held():
        target, *others = [stack.send(name, value=1, expires=expires), *(stack.send(**other) for other in COMPANY)]
        stack.wait_until_received([target, *others])
        stack.worker.wait_for(lambda: datetime.now(UTC) > expires)

    assert stack.failure(target)[0] == "TaskRevokedError"
    for other in others:
        assert stack.get(other)["value"] == "company"
    stack.wait_for_events(events, [target])
    assert events.of(target) == ["task-received", "task-revoked"]
    assert events.last(target)["expired"]
    assert stack.computations(target) == 0


def limited(stack: PoolStack, name: str, **limits: Any) -> tuple[AsyncResult, list[AsyncResult]]:
    target, *others = stack.gathered([{"name": name, **LONG, **limits}, *COMPANY])
    return target, others


@NAMES
def test_the_soft_limit_fails_its_own_request(stack: PoolStack, events: Events, name: str) -> None:
    pids = stack.pids()

    target, others = limited(stack, name, soft_time_limit=0.3)

    assert stack.failure(target)[0] == "SoftTimeLimitExceeded"
    assert [stack.get(other)["value"] for other in others] == ["company"] * 3
    stack.wait_for_events(events, [target, *others])
    assert events.of(target) == [*STARTED, "task-failed"]
    assert all(events.of(other)[-1] == "task-succeeded" for other in others)
    settle(stack, pids)
    assert stack.pids() == pids


@ENDS_A_PROCESS
def test_the_hard_limit_fails_its_own_request_and_ends_its_process(stack: PoolStack, events: Events, name: str) -> None:
    pids = stack.pids()

    target, others = limited(stack, name, time_limit=0.3)

    assert stack.failure(target)[0] == "TimeLimitExceeded"
    assert [stack.get(other)["value"] for other in others] == ["company"] * 3
    stack.wait_for_events(events, [target, *others])
    # Celery announces it twice: when the limit passes, and when the job ends.
    assert events.of(target) == [*STARTED, "task-failed", "task-failed"]
    assert all(events.of(other)[-1] == "task-succeeded" for other in others)
    assert events.of(others[0]).count("task-failed") == 0
    settle(stack, pids)
    assert not stack.pids() & pids


@OURS_ONLY
def test_equal_limits_show_alone_which_request_it_was(stack: PoolStack, events: Events) -> None:
    for limit, error in (("soft_time_limit", "SoftTimeLimitExceeded"), ("time_limit", "TimeLimitExceeded")):
        requests = [{"value": "fast", limit: 3}] * 2
        first, target, last = stack.gathered([requests[0], {**LONG, limit: 3}, requests[1]])

        assert stack.failure(target)[0] == error
        for other in (first, last):
            assert stack.get(other)["size"] == 1
        stack.wait_for_events(events, [first, target, last])
        assert "task-failed" not in events.of(first) + events.of(last)


def test_the_workers_own_limits_hold_where_a_request_has_none(tmp_path: Path) -> None:
    arguments = ["--concurrency=1", "--soft-time-limit=0.3"]
    with PoolStack(tmp_path, arguments=arguments) as stack:
        slow, *others = stack.gathered([LONG, *COMPANY])
        assert stack.failure(slow)[0] == "SoftTimeLimitExceeded"
        assert [stack.get(other)["value"] for other in others] == ["company"] * 3
