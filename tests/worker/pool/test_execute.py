"""A pool process reports one outcome per request of a batch, whatever one of them does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from celery import Celery
from celery.app import trace
from celery.exceptions import Reject, Retry
from hypothesis import given
from hypothesis import strategies as st

from examples.local_stack import PATIENCE_S
from worker.pool import BatchTask, Call, TaskResult, batch_task, execute
from worker.pool.exception_info import exception_of
from worker.pool.execute import CallOutcome, DispatchedRequest, run_batch, use_batch_clock

PAST = datetime.now(UTC) - timedelta(days=1)
FUTURE = datetime.now(UTC) + timedelta(days=1)


class Probe(BatchTask):
    """Does what a test tells it to."""

    name = "probe"
    ignore_result = True
    sizes: list[int]
    behave: Callable[[Sequence[Call]], Sequence[TaskResult]]
    after: Callable[[Any], None]

    def compute(self, calls: Sequence[Call]) -> Sequence[TaskResult]:
        self.sizes.append(len(calls))
        return self.behave(calls)

    def on_success(self, retval: Any, *_: Any) -> None:
        self.after(retval)


def echo(calls: Sequence[Call]) -> Sequence[TaskResult]:
    return [TaskResult(call.args[0]) for call in calls]


def ignore(_: Any) -> None:
    pass


@pytest.fixture(scope="module")
def app() -> Iterator[Celery]:
    made = Celery("probe", broker="memory://", backend="cache+memory://", set_as_current=False)
    made.set_current()
    made.register_task(Probe())
    made.finalize()
    yield made
    made.close()


@pytest.fixture
def probe(app: Celery) -> Probe:
    task: Probe = app.tasks["probe"]
    task.sizes, task.behave, task.after = [], echo, ignore
    use_batch_clock("worker@here")
    return task


def calls(
    *values: Any, soft_s: Sequence[float | None] = (), expires: Sequence[datetime | None] = ()
) -> list[DispatchedRequest]:
    limits = soft_s or [None] * len(values)
    ends = expires or [None] * len(values)
    return [
        DispatchedRequest(
            "probe", f"id-{index}", {"id": f"id-{index}", "task": "probe"}, ([value], {}, None), limit, end
        )
        for index, (value, limit, end) in enumerate(zip(values, limits, ends, strict=True))
    ]


def computed(batch: Sequence[DispatchedRequest]) -> list[tuple[CallOutcome, Any]]:
    """Outcomes, each with what Celery would report: the text of a result, or the error."""
    found: list[tuple[CallOutcome, Any]] = []
    for outcome, value in run_batch(trace.trace_task_ret, batch).calls:
        if outcome is CallOutcome.TRACED:
            failed, shown, _ = value
            found.append((outcome, exception_of(shown) if failed else shown))
        else:
            found.append((outcome, value))
    return found


@pytest.mark.parametrize(
    ("attempt", "waited_s", "must"), [(1, 0.0, False), (1, 5.0, True), (None, 0.0, True), (2, 5.0, False)]
)
def test_what_others_may_have_begun_is_claimed_first(attempt: int | None, waited_s: float, must: bool) -> None:
    (request,) = calls(1)
    assert not request.must_be_claimed()
    waited = request._replace(attempt=attempt, sent_at_s=time.monotonic() - waited_s)
    assert waited.must_be_claimed() is must


def test_every_request_gets_its_own_answer(probe: Probe) -> None:
    assert computed(calls(1, 2, 3)) == [(CallOutcome.TRACED, "1"), (CallOutcome.TRACED, "2"), (CallOutcome.TRACED, "3")]
    assert probe.sizes == [3]


def test_what_is_too_late_is_not_computed(probe: Probe) -> None:
    found = computed(calls(1, 2, 3, expires=[PAST, FUTURE, None]))

    assert found == [(CallOutcome.EXPIRED, None), (CallOutcome.TRACED, "2"), (CallOutcome.TRACED, "3")]
    assert probe.sizes == [2]
    assert computed(calls(1, expires=[PAST])) == [(CallOutcome.EXPIRED, None)]
    assert probe.sizes == [2]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_whoever_raises_stands_alone_in_the_end(guilty: list[bool]) -> None:
    task = Probe.__new__(Probe)
    task.sizes = []

    def behave(batch: Sequence[Call]) -> Sequence[TaskResult]:
        if any(guilty[call.args[0]] for call in batch):
            raise ValueError("guilty")
        return echo(batch)

    task.behave = behave

    answers = execute._isolate(task, [Call({}, [index], {}) for index in range(len(guilty))])

    for index, answer in enumerate(answers):
        assert isinstance(answer, TaskResult)
        assert answer.value == (None if guilty[index] else index)
        assert isinstance(answer.error, ValueError) == guilty[index]
    # Each guilty call costs only the splits that lead to it.
    assert len(task.sizes) <= 1 + 2 * sum(guilty) * len(guilty).bit_length()


@pytest.mark.parametrize("leave", [SystemExit(3), KeyboardInterrupt()])
def test_one_that_would_end_the_process_is_held_back_until_it_is_alone(probe: Probe, leave: BaseException) -> None:
    def behave(batch: Sequence[Call]) -> Sequence[TaskResult]:
        if any(call.args[0] == "leave" for call in batch):
            raise leave
        return echo(batch)

    probe.behave = behave

    assert computed(calls(1, "leave", 2)) == [
        (CallOutcome.TRACED, "1"),
        (CallOutcome.REQUEUE_ALONE, None),
        (CallOutcome.TRACED, "2"),
    ]
    with pytest.raises(type(leave)):
        computed(calls("leave"))


def test_too_few_answers_are_an_error_of_each(probe: Probe) -> None:
    probe.behave = lambda _: []

    assert [type(value) for _, value in computed(calls(1, 2))] == [ValueError, ValueError]


@pytest.fixture
def interrupted(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the soft limit pass after so many seconds, on a fake clock."""
    now_s = [0.0]
    monkeypatch.setattr(execute, "time", SimpleNamespace(monotonic=lambda: now_s[0]))

    def interrupt(after_s: float) -> None:
        def behave(_: Sequence[Call]) -> Sequence[TaskResult]:
            now_s[0] += after_s
            raise SoftTimeLimitExceeded

        probe.behave = behave

    return interrupt


def test_the_soft_limit_is_that_of_the_one_with_the_least_time(interrupted: Callable[[float], None]) -> None:
    interrupted(2.0)

    found = computed(calls(1, 2, 3, soft_s=[None, 2.0, 5.0]))

    assert [outcome for outcome, _ in found] == [CallOutcome.REQUEUE, CallOutcome.TRACED, CallOutcome.REQUEUE]
    assert isinstance(found[1][1], SoftTimeLimitExceeded)


def test_equal_soft_limits_show_alone_whose_it_was(interrupted: Callable[[float], None]) -> None:
    interrupted(2.0)

    assert computed(calls(1, 2, soft_s=[2.0, 2.0])) == [(CallOutcome.REQUEUE_ALONE, None)] * 2
    assert isinstance(computed(calls(1, soft_s=[2.0]))[0][1], SoftTimeLimitExceeded)
    assert isinstance(computed(calls(1))[0][1], SoftTimeLimitExceeded)


def test_a_soft_limit_that_comes_too_early_was_the_batch_befores(interrupted: Callable[[float], None]) -> None:
    interrupted(0.5)

    assert computed(calls(1, 2, soft_s=[2.0, 5.0])) == [(CallOutcome.REQUEUE, None)] * 2


def test_the_runtime_of_each_is_its_share(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now_s[0])
    monkeypatch.setattr(execute, "time", clock)
    monkeypatch.setattr(batch_task, "time", clock)

    def behave(batch: Sequence[Call]) -> Sequence[TaskResult]:
        now_s[0] += 8.0
        return echo(batch)

    probe.behave = behave

    results = run_batch(trace.trace_task_ret, calls(1, 2, 3, 4)).calls

    assert [value[2] for _, value in results] == pytest.approx([2.0] * 4)


class Unloadable(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def test_what_cannot_be_unpickled_is_not_sent(probe: Probe) -> None:
    probe.behave = lambda batch: [TaskResult(error=Reject(Unloadable("a", "b"))) for _ in batch]

    (_, error), (_, other) = computed(calls(1, 2))

    assert type(error).__name__ == type(other).__name__ == "MaybeEncodingError"


def test_what_celery_lets_through_is_one_requests(probe: Probe) -> None:
    def reject(value: Any) -> None:
        if value == 2:
            raise Reject("too late")

    probe.after = reject

    first, second, third = computed(calls(1, 2, 3))

    assert first == (CallOutcome.TRACED, "1")
    assert second[0] is CallOutcome.RAISED
    assert isinstance(exception_of(second[1]), Reject)
    assert third == (CallOutcome.TRACED, "3")


def test_a_retry_is_sent_by_its_own_task(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, dict[str, Any]]] = []

    def retry(**options: Any) -> Retry:
        sent.append((probe.request.id, options))
        return Retry()

    monkeypatch.setattr(probe, "retry", retry)
    at = datetime(2030, 1, 1, tzinfo=UTC)
    cause = ValueError("again")
    probe.behave = lambda batch: [TaskResult(error=Retry(exc=cause, when=when)) for when in (7, at, None)][: len(batch)]

    outcomes = [value for _, value in computed(calls(1, 2, 3))]

    assert all(isinstance(value, Retry) for value in outcomes)
    assert [(task_id, {**options, "exc": str(options["exc"])}) for task_id, options in sent] == [
        ("id-0", {"exc": "again", "countdown": 7}),
        ("id-1", {"exc": "again", "eta": at}),
        ("id-2", {"exc": "again"}),
    ]


def test_a_signal_waits_until_all_is_stored_and_a_soft_limit_is_dropped(probe: Probe) -> None:
    log: list[Any] = []

    def disturb(value: Any) -> None:
        if value == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGUSR1)
        log.append(value)

    probe.after = disturb
    handlers = {
        number: signal.signal(number, lambda number, _: log.append(number))
        for number in (signal.SIGTERM, signal.SIGUSR1)
    }
    try:
        run_batch(trace.trace_task_ret, calls(1, 2, 3))
        # Python runs the handler a few instructions later.
        give_up_s = time.monotonic() + PATIENCE_S
        while signal.SIGTERM not in log and time.monotonic() < give_up_s:
            pass
        assert log == [1, 2, 3, signal.SIGTERM]
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_a_task_that_is_called_directly_computes_alone(probe: Probe) -> None:
    assert probe.apply(args=[5]).get() == 5
    assert probe.sizes == [1]
