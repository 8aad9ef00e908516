"""How long a pool that stops waits: until its time is up, or until it is told again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from celery import signals

from examples.local_stack import PATIENCE_S
from worker.pool import drain as drain_module
from worker.pool.drain import Drain

LONG_S = 3600.0


class Killed:
    """Counts how often the processes were killed."""

    def __init__(self) -> None:
        self.times = 0
        self.at_all = threading.Event()

    def __call__(self) -> None:
        self.times += 1
        self.at_all.set()


@pytest.fixture
def killed() -> Killed:
    return Killed()


@pytest.fixture
def begun(killed: Killed) -> Iterator[Callable[[float | None], Drain]]:
    made: list[Drain] = []

    def begin(limit_s: float | None) -> Drain:
        made.append(Drain(killed, limit_s))
        made[-1].begin()
        return made[-1]

    yield begin
    for one in made:
        one.end()


def order(how: str = "Warm") -> None:
    """What Celery's signal handlers send."""
    signals.worker_shutting_down.send(sender="celery@here", sig="SIGTERM", how=how, exitcode=0)


def test_when_its_time_is_up_the_processes_are_killed(begun: Callable[[float | None], Drain], killed: Killed) -> None:
    begun(0.01)
    assert killed.at_all.wait(PATIENCE_S)


def test_once_all_have_ended_nobody_is_killed(begun: Callable[[float | None], Drain], killed: Killed) -> None:
    drain = begun(LONG_S)
    drain.end()
    assert drain._timer is not None
    drain._timer.join(PATIENCE_S)
    assert not drain._timer.is_alive()
    assert killed.times == 0


def test_without_a_limit_it_waits(begun: Callable[[float | None], Drain]) -> None:
    assert begun(None)._timer is None


def test_the_first_order_waits_and_another_does_not(
    begun: Callable[[float | None], Drain], killed: Killed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "_SAME_ORDER_S", 0.0)
    drain = begun(LONG_S)
    order()
    assert killed.times == 0
    order()
    order()
    assert killed.times == 1
    assert drain._ordered_at_s is not None


def test_the_same_signal_shortly_after_is_the_same_order(
    begun: Callable[[float | None], Drain], killed: Killed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "_SAME_ORDER_S", LONG_S)
    drain = begun(LONG_S)
    order()
    order()
    assert killed.times == 0
    order("Cold")
    assert killed.times == 1
    assert drain._is_over


def test_its_time_began_with_the_order(killed: Killed) -> None:
    drain = Drain(killed, LONG_S)
    order()
    drain._ordered_at_s = time.monotonic() - LONG_S
    drain.begin()
    assert killed.at_all.wait(PATIENCE_S)
