"""Events, results, retries, canvas and signals of a request are the same in our pool as in Celery's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group

from tests.worker.pool.pool_stack import OURS, OURS_ONLY, STOCK, Events, PoolStack

STARTED = ["task-received", "task-started"]
#: In our pool, the target is computed together with others.
COMPANY = [{"value": "company"}] * 3
NAMES = pytest.mark.parametrize("name", ["probe", "early", "plain"])


def run(stack: PoolStack, name: str = "probe", do: str = "", value: Any = None, **options: Any) -> Any:
    """Send one request that waits together with others, and check that the others succeed."""
    target, *others = stack.gathered([{"name": name, "do": do, "value": value, **options}, *COMPANY])
    for other in others:
        assert stack.get(other)["value"] == "company"
    return target


@NAMES
def test_a_success_has_its_result_events_and_signals(stack: PoolStack, events: Events, name: str) -> None:
    sent = run(stack, name, value=7)

    found = stack.get(sent)
    stack.wait_for_events(events, [sent])
    assert found["value"] == 7
    assert found["size"] == (4 if stack.is_ours and name == "probe" else 1)
    assert events.of(sent) == [*STARTED, "task-succeeded"]
    assert events.last(sent)["runtime"] > 0
    assert stack.signals_of(sent) == ["task_received", "task_prerun", "task_success", "task_postrun"]
    assert stack.client.AsyncResult(sent.id).state == "SUCCESS"


@NAMES
def test_a_failure_has_its_result_events_and_signals(stack: PoolStack, events: Events, name: str) -> None:
    sent = run(stack, name, "error", "missing")

    assert stack.failure(sent) == ("KeyError", ("missing",))
    stack.wait_for_events(events, [sent])
    assert events.of(sent) == [*STARTED, "task-failed"]
    assert events.last(sent)["exception"] == "KeyError('missing')"
    assert stack.signals_of(sent) == ["task_received", "task_prerun", "task_failure", "task_postrun"]


@NAMES
def test_a_retry_is_sent_once_more_and_succeeds(stack: PoolStack, events: Events, name: str) -> None:
    sent = run(stack, name, "retry", 2)

    assert stack.get(sent)["retries"] == 2
    stack.wait_for_events(events, [sent])
    # The worker may receive a retry before it learns how the request that is retried has ended.
    assert sorted(events.of(sent)) == sorted([*STARTED * 3, *["task-retried"] * 2, "task-succeeded"])
    assert stack.signals_of(sent).count("task_retry") == 2
    assert stack.computations(sent) == 3


def test_autoretry_ends_after_max_retries(stack: PoolStack, events: Events) -> None:
    sent = run(stack, "auto", "error", "missing")

    assert stack.failure(sent) == ("KeyError", ("missing",))
    stack.wait_for_events(events, [sent])
    assert sorted(events.of(sent)) == sorted([*STARTED * 3, *["task-retried"] * 2, "task-failed"])


@NAMES
@pytest.mark.parametrize("do", ["reject", "ignore"])
def test_what_a_task_rejects_or_ignores_is_acknowledged(stack: PoolStack, events: Events, name: str, do: str) -> None:
    sent = run(stack, name, do)

    if do == "reject":
        assert stack.failure(sent)[0] == "Reject"
        stack.wait_for_events(events, [sent])
        assert "task-failed" in events.of(sent)
    assert stack.client.AsyncResult(sent.id).state == ("FAILURE" if do == "reject" else "PENDING")
    stack.worker.wait_for(lambda: stack.unacknowledged() == 0)


def test_a_hook_that_rejects_harms_nobody_else(stack: PoolStack, events: Events) -> None:
    sent = run(stack, "probe", "reject_late", 1)

    assert stack.get(sent)["value"] == 1
    stack.wait_for_events(events, [sent])
    stack.worker.wait_for(lambda: stack.unacknowledged() == 0)


@NAMES
def test_an_error_that_cannot_be_unpickled_fails_its_own_request(stack: PoolStack, events: Events, name: str) -> None:
    pids = stack.pids()

    sent = run(stack, name, "unloadable")

    assert stack.failure(sent)[0] == "UnpickleableExceptionWrapper"
    stack.wait_for_events(events, [sent])
    assert events.of(sent) == [*STARTED, "task-failed"]
    assert stack.pids() == pids


@OURS_ONLY
def test_a_memory_error_fails_its_own_request_and_is_acknowledged(stack: PoolStack, events: Events) -> None:
    pids = stack.pids()

    for do in ("memory", "memory_answer"):
        sent = run(stack, "probe", do, "no room")

        assert stack.failure(sent) == ("MemoryError", ("no room",))
        stack.wait_for_events(events, [sent])
        assert events.last(sent)["exception"] == "MemoryError('no room',)"
        stack.worker.wait_for(lambda: stack.unacknowledged() == 0)
    assert stack.pids() == pids


def test_links_chains_groups_and_chords_go_on(stack: PoolStack) -> None:
    def part(value: int) -> Any:
        return stack.client.signature("probe", kwargs={"value": value})

    collect = stack.client.signature("collect")
    with stack.held():
        linked = stack.send(value=1, link=collect)
        chained = chain(part(2), collect, app=stack.client).apply_async()
        grouped = group([part(value) for value in range(5)], app=stack.client).apply_async()
        joined = chord([part(value) for value in range(8)], collect, app=stack.client).apply_async()
        stack.wait_until_received([linked, *grouped.results])

    assert stack.get(linked)["value"] == 1
    assert stack.get(linked.children[0])["value"] == 1
    assert stack.get(chained)["value"] == 2
    assert [found["value"] for found in stack.get(grouped)] == list(range(5))
    assert sorted(found["value"] for found in stack.get(joined)) == list(range(8))


def test_a_failure_calls_its_errbacks_which_find_its_result(stack: PoolStack) -> None:
    errback = stack.client.signature("errback")

    sent = run(stack, "probe", "error", 1, link_error=errback)

    stack.failure(sent)
    stack.worker.wait_for(lambda: sent.id in stack.notes("errback"))
    lines = zip(stack.notes("errback"), stack.notes("state"), strict=True)
    assert dict(lines)[sent.id] == "FAILURE"


def test_a_failed_part_fails_its_chord(stack: PoolStack) -> None:
    parts = [stack.client.signature("probe", kwargs={"do": do, "value": 1}) for do in ("", "error", "")]

    joined = chord(parts, stack.client.signature("collect"), app=stack.client).apply_async()

    assert stack.failure(joined)[0] == "ChordError"


def test_started_is_stored_while_it_is_computed(stack: PoolStack, tmp_path: Any) -> None:
    sent = stack.send("started", "hang", str(tmp_path / "gate"))
    stack.worker.wait_for((tmp_path / "gate.held").exists)
    result = stack.client.AsyncResult(sent.id)
    try:
        assert result.state == "STARTED"
        assert result.info["pid"] in stack.pids()
        assert result.info["hostname"].startswith("celery@")
    finally:
        (tmp_path / "gate").touch()
    assert stack.get(sent)["size"] == 1
    assert stack.client.AsyncResult(sent.id).state == "SUCCESS"


def test_an_ignored_result_is_not_stored(stack: PoolStack, events: Events) -> None:
    sent = run(stack, "silent", value=1)

    stack.wait_for_events(events, [sent])
    assert events.of(sent) == [*STARTED, "task-succeeded"]
    assert stack.client.AsyncResult(sent.id).state == "PENDING"


@pytest.mark.parametrize(("name", "held"), [("probe", 1), ("plain", 1), ("early", 0)])
def test_a_message_is_acknowledged_early_or_late_as_its_task_says(stack: PoolStack, name: str, held: int) -> None:
    stack.worker.wait_for(lambda: stack.unacknowledged() == 0)

    with stack.held(name) as sent:
        stack.worker.wait_for(lambda: stack.unacknowledged() == held)

    stack.get(sent)
    stack.worker.wait_for(lambda: stack.unacknowledged() == 0)


@pytest.mark.parametrize("pool", [OURS, STOCK], ids=["ours", "stock"])
def test_interrogation_tells_what_is_active_and_what_is_reserved(tmp_path: Path, pool: str) -> None:
    # On a worker of its own: a request with a later ETA is held until then, even if it is revoked.
    with PoolStack(tmp_path, pool) as stack:
        with stack.held() as running:
            waiting = [stack.send(value=value) for value in range(3)]
            later = stack.send(countdown=3600)
            stack.wait_until_received([*waiting, later])
            active, reserved, scheduled = (stack.inspect(what) for what in ("active", "reserved", "scheduled"))

        assert [found["id"] for found in active] == [running.id]
        assert active[0]["worker_pid"] in stack.pids()
        assert {found["id"] for found in reserved} == {result.id for result in waiting}
        assert [found["request"]["id"] for found in scheduled] == [later.id]
        for result in waiting:
            stack.get(result)


def test_a_countdown_and_a_rate_limit_hold_requests_back_and_lose_none(stack: PoolStack) -> None:
    later = [stack.send(value=value, countdown=0.3) for value in range(3)]
    # The rate limit lets the first two pass one after the other.
    limited = [stack.send("limited", value=value) for value in range(2)]

    assert [stack.get(result)["value"] for result in later] == list(range(3))
    assert [stack.get(result)["value"] for result in limited] == list(range(2))


def test_ones_success_is_not_overwritten(stack: PoolStack, events: Events) -> None:
    first = stack.send(value="first")
    assert stack.get(first)["value"] == "first"

    again = run(stack, "probe", "error", "second", task_id=first.id)

    stack.worker.wait_for(lambda: events.of(again).count("task-failed") == 1)
    assert stack.client.AsyncResult(first.id).result["value"] == "first"
