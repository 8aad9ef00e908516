"""Everything that is sent and done follows from the seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.chaos.messages import MessageKind, PoisonKind, plan_messages
from benchmarks.chaos.options import Mode, RunOptions
from benchmarks.chaos.schedule import FaultKind, plan_faults
from benchmarks.chaos.steps import PARENT_STEPS, PROCESS_STEPS, Step

OPTIONS = RunOptions(messages=5000, kills=60, worker_kills=30, seconds=100.0, seed=7)


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    other = replace(OPTIONS, seed=8)

    assert plan_faults(OPTIONS) == plan_faults(OPTIONS) != plan_faults(other)
    assert list(plan_messages(OPTIONS)) == list(plan_messages(OPTIONS)) != list(plan_messages(other))


def test_there_are_as_many_kills_as_asked_for_and_every_other_kind_of_fault() -> None:
    faults = plan_faults(OPTIONS)

    kills = [fault.kind for fault in faults if fault.kind.is_kill]
    assert len(kills) == OPTIONS.kills
    assert sum(kind.is_of_worker for kind in kills) == OPTIONS.worker_kills
    assert {fault.kind for fault in faults} == set(FaultKind)
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    assert all(0 < fault.at_s < OPTIONS.seconds for fault in faults)


def test_at_steps_parents_die_at_theirs_and_processes_at_theirs() -> None:
    faults = plan_faults(replace(OPTIONS, at_steps=True, other_faults=False, kills=400, worker_kills=200))

    assert {fault.step for fault in faults if fault.kind.is_of_worker} == set(PARENT_STEPS)
    assert {fault.step for fault in faults if not fault.kind.is_of_worker} == set(PROCESS_STEPS)
    assert {*PARENT_STEPS, *PROCESS_STEPS} == set(Step)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("messages", [100, 5000])
def test_each_number_is_planned_once_and_all_kinds_of_poison_are(mode: Mode, messages: int) -> None:
    planned = list(plan_messages(replace(OPTIONS, mode=mode, messages=messages)))

    assert [number for one in planned for number in one.numbers] == list(range(messages))
    assert {one.poison for one in planned if one.poison} == set(PoisonKind)


def test_all_kinds_of_messages_are_planned_and_texts_only_for_the_real_worker() -> None:
    def kinds(mode: Mode) -> Counter[MessageKind]:
        return Counter(one.kind for one in plan_messages(replace(OPTIONS, mode=mode)))

    # A member is planned with its chord.
    assert kinds(Mode.REAL).keys() == set(MessageKind) - {MessageKind.CHORD_MEMBER}
    assert kinds(Mode.NOOP).keys() == set(MessageKind) - {MessageKind.CHORD_MEMBER, MessageKind.TEXT}
