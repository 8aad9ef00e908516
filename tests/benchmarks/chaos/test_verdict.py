"""What the ledger, the journals and Redis say together."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos.broker import Leftovers
from benchmarks.chaos.history import Reason
from benchmarks.chaos.journal import What
from benchmarks.chaos.messages import End, MessageKind, PoisonKind
from benchmarks.chaos.schedule import FaultKind
from benchmarks.chaos.story import tell
from tests.benchmarks.chaos.world import World

WORKER, OTHER_WORKER, PROCESS, OTHER_PROCESS = 100, 200, 101, 201


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def computed(world: World, number: int, at_s: float, pid: int = PROCESS, worker_pid: int = WORKER) -> None:
    world.note(What.BEGAN, number, at_s, pid, worker_pid)
    world.note(What.ENDED, number, at_s + 0.1, pid, worker_pid)


def test_a_run_in_which_everything_is_answered_once_is_good(world: World) -> None:
    for number in range(3):
        world.send(number)
        computed(world, number, 1.0)
        world.end(number, 1.2)

    verdict = world.verdict()

    assert verdict.is_good, verdict.problems
    assert verdict.figures["messages"] == 3
    assert verdict.figures["recovery_p99_s"] is None
    assert tell(verdict, world.evidence()) == []


def test_what_has_no_result_is_lost_if_it_is_nowhere_and_wedged_if_it_is_still_in_redis(world: World) -> None:
    world.send(1)
    world.send(2)
    world.leftovers = Leftovers({}, {2: 5.0}, 0)

    verdict = world.verdict()

    assert (verdict.figures["lost"], verdict.figures["wedged"]) == (1, 1)
    assert verdict.problems == ["1 lost", "1 wedged", "1 messages are left in the broker"]
    verdict.story = tell(verdict, world.evidence())
    assert any("nowhere in Redis" in line for line in verdict.story)
    assert any("not acknowledged since 5.000 s" in line for line in verdict.story)


def test_a_computation_that_begins_after_a_final_result_is_counted_and_one_before_it_is_a_repetition(
    world: World,
) -> None:
    world.send(1)
    computed(world, 1, 1.0)
    world.end(1, 1.2)
    computed(world, 1, 2.0, OTHER_PROCESS, OTHER_WORKER)
    world.send(2)
    world.note(What.BEGAN, 2, 1.0, PROCESS)
    world.kill(FaultKind.KILL_PROCESS, 1.05, PROCESS)
    computed(world, 2, 1.5, OTHER_PROCESS)
    world.end(2, 1.7)

    verdict = world.verdict()

    assert (verdict.figures["computed_twice"], verdict.figures["recomputed"]) == (1, 1)
    assert verdict.figures["recomputed_why"] == {Reason.PROCESS_KILLED.value: 1}
    # One kill allows a tenth of one.
    assert [problem for problem in verdict.problems if "computed again" in problem]


def test_a_first_computation_after_the_end_counts_as_well(world: World) -> None:
    world.send(1)
    world.end(1, 1.0, End.FAILURE, "given up")
    computed(world, 1, 2.0)

    assert world.verdict().figures["computed_twice"] == 1


@pytest.mark.parametrize("reason", [Reason.WORKER_KILLED, Reason.WORKER_STOPPED, Reason.DISTURBED, Reason.UNEXPLAINED])
def test_a_repetition_has_the_reason_that_happened(world: World, reason: Reason) -> None:
    world.send(1)
    world.note(What.BEGAN, 1, 1.0, PROCESS)
    if reason is Reason.WORKER_KILLED:
        world.kill(FaultKind.KILL_WORKER, 1.5, WORKER)
    elif reason is Reason.WORKER_STOPPED:
        world.stop(1.5, WORKER)
    elif reason is Reason.DISTURBED:
        world.disturbances.append(world.zero_s + 1.5)
    computed(world, 1, 2.0, OTHER_PROCESS, OTHER_WORKER)
    world.end(1, 2.3)

    history = world.history()

    assert history.recomputed == {reason: 1}
    assert history.unexplained == ({1} if reason is Reason.UNEXPLAINED else set())


def test_a_batch_that_is_split_in_its_process_is_no_repetition(world: World) -> None:
    world.send(1)
    world.note(What.BEGAN, 1, 1.0, PROCESS)
    computed(world, 1, 1.1)
    world.end(1, 1.5)

    verdict = world.verdict()

    assert verdict.figures["recomputed"] == 0
    assert verdict.figures["recomputed_why"] == {Reason.SPLIT.value: 1}


def test_a_retry_that_a_repeated_try_sends_again_has_that_reason(world: World) -> None:
    world.send(1, MessageKind.RETRY, 1)
    world.note(What.BEGAN, 1, 1.0, PROCESS)
    world.kill(FaultKind.KILL_PROCESS, 1.1, PROCESS)
    world.note(What.BEGAN, 1, 1.5, OTHER_PROCESS)
    world.note(What.BEGAN, 1, 2.0, OTHER_PROCESS, retries=1)
    world.note(What.ENDED, 1, 2.1, OTHER_PROCESS, retries=1)
    world.end(1, 2.2)
    world.note(What.BEGAN, 1, 2.5, OTHER_PROCESS + 1, retries=1)

    history = world.history()

    assert history.recomputed == {Reason.PROCESS_KILLED: 1}
    assert history.computed_again == [(1, Reason.SENT_AGAIN)]


def test_a_countdown_that_is_not_kept_is_bad(world: World) -> None:
    world.send(1, MessageKind.ETA, 5.0)
    computed(world, 1, 4.0)
    world.end(1, 4.2)

    assert world.verdict().figures["computed_early"] == 1


def test_a_failure_is_bad_unless_three_tries_were_made(world: World) -> None:
    for number in (1, 2):
        world.send(number)
        world.end(number, 9.0, End.FAILURE, "ProcessDied: 3 processes died")
    computed(world, 1, 1.0)
    for at_s in (1.0, 2.0, 3.0):
        world.note(What.BEGAN, 2, at_s, PROCESS)

    verdict = world.verdict()

    assert (verdict.figures["failed"], verdict.figures["given_up"]) == (2, 1)
    assert verdict.suspects == {1}


def test_poison_must_end_as_its_kind_does_and_not_be_in_the_queue(world: World) -> None:
    world.send(1, MessageKind.POISON, poison=PoisonKind.GARBAGE)
    world.end(1, 1.0, End.DEAD_LETTER)
    world.send(2, MessageKind.POISON, poison=PoisonKind.BAD_ARGUMENTS)
    world.send(3, MessageKind.POISON, poison=PoisonKind.PICKLE)

    verdict = world.verdict()

    assert verdict.figures["lost"] == 0
    assert verdict.suspects == {2}
    assert verdict.figures["poison"]["garbage"] == {"dead letter": 1}
    assert verdict.figures["poison"]["pickle"] == {"dropped": 1}
    world.leftovers = Leftovers({1: "celery"}, {}, 0)
    assert world.verdict().suspects == {1, 2}


def test_recovery_is_the_time_until_the_last_message_that_a_killed_worker_held_is_answered(world: World) -> None:
    for number, ended_s in ((1, 1.0), (2, 14.0), (3, 9.0)):
        world.send(number)
        world.note(What.RECEIVED, number, 0.5, WORKER)
        world.end(number, ended_s)
    world.kill(FaultKind.KILL_WORKER, 2.0, WORKER)

    assert world.verdict().figures["recovery_p99_s"] == pytest.approx(12.0, abs=0.01)


def test_a_message_that_was_taken_over_by_a_worker_that_is_hit_in_turn_counts_until_then(world: World) -> None:
    world.send(1)
    world.note(What.RECEIVED, 1, 0.5, WORKER)
    world.kill(FaultKind.KILL_WORKER, 2.0, WORKER)
    world.note(What.RECEIVED, 1, 8.0, OTHER_WORKER, OTHER_WORKER)
    world.kill(FaultKind.KILL_PARENT, 9.0, OTHER_WORKER, OTHER_WORKER)
    world.end(1, 18.0)

    assert [one.seconds for one in world.history().recoveries(world.kills)] == pytest.approx([6.0, 9.0], abs=0.01)


def test_countdowns_and_work_are_no_recovery(world: World) -> None:
    world.send(1, MessageKind.ETA, 30.0)
    world.send(2, MessageKind.LONG, 10.0)
    for number, ended_s in ((1, 31.0), (2, 14.0)):
        world.note(What.RECEIVED, number, 0.5, WORKER)
        world.end(number, ended_s)
    world.kill(FaultKind.KILL_WORKER, 2.0, WORKER)

    assert [one.seconds for one in world.history().recoveries(world.kills)] == pytest.approx([2.0], abs=0.01)


def test_leaked_keys_wrong_answers_and_second_results_are_bad(world: World) -> None:
    world.send(1)
    world.end(1, 1.0)
    world.end(1, 2.0, End.FAILURE, "again")
    world.ledger.wrong[1] = "answered 2"
    world.leaked_keys = ["mine"]

    problems = world.verdict().problems

    assert problems == ["1 answered wrongly", "1 with more than one final result", "the key mine never expires"]
