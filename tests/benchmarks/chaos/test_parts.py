"""The parts of a run: the ledger, the journal, traps, the keys that may stay, and whether something grows."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path

import pytest
import redis

from benchmarks.chaos.broker import documented_keys, find_leaked_keys, is_empty, read_dead_letters, read_leftovers
from benchmarks.chaos.journal import Journal, JournalFile, What, id_of, number_of, numbers_in
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.messages import End, MessageKind, Planned, PoisonKind, raw_message, raw_poison
from benchmarks.chaos.samples import growth_of
from benchmarks.chaos.steps import Step, Trap, TrapFile


def test_the_ledger_keeps_the_first_end_and_notes_any_other() -> None:
    ledger = Ledger(10)
    ledger.send(Planned(MessageKind.CHORD_BODY, (3, 4, 5)))

    ledger.end(4, End.SUCCESS)
    ledger.end(4, End.FAILURE, "late")
    ledger.end(99, End.SUCCESS)

    assert [ledger.kind_of(number) for number in (3, 4, 5)] == [
        MessageKind.CHORD_MEMBER,
        MessageKind.CHORD_MEMBER,
        MessageKind.CHORD_BODY,
    ]
    assert ledger.pending == {3, 5}
    assert (ledger.sent, ledger.ended) == (3, 1)
    assert ledger.end_of(4) is End.SUCCESS
    assert ledger.ended_again == {4: "failure late"}


def test_ids_are_found_in_messages_of_any_kind() -> None:
    assert number_of(id_of(12)) == 12
    assert number_of("another-id") is number_of(None) is None
    assert numbers_in(raw_message(Planned(MessageKind.PLAIN, (12,)))) == {12}
    for poison in PoisonKind:
        assert numbers_in(raw_poison(Planned(MessageKind.POISON, (7,), poison=poison))) == {7}, poison


def _die_at_the_third(directory: Path, trap: Path) -> None:
    journal = Journal(directory)
    journal.began([(id_of(1), 0), ("foreign", 0), (id_of(2), 1)])
    passing = Trap(TrapFile(trap), journal).passing
    passing(Step.STORED)
    for _ in range(4):
        passing(Step.RUN_BEGINS)
        journal.ended([(id_of(1), 0)])


def test_a_process_dies_where_its_trap_is_and_its_journal_tells(tmp_path: Path) -> None:
    trap = TrapFile(tmp_path / "trap")
    trap.set(Step.RUN_BEGINS, 3)
    process = multiprocessing.get_context("fork").Process(target=_die_at_the_third, args=(tmp_path, tmp_path / "trap"))

    process.start()
    process.join()

    assert process.exitcode == -signal.SIGKILL
    assert not trap.is_set
    (file,) = JournalFile.all_in(tmp_path)
    assert file.pid == process.pid
    notes = [(note.what, note.number, note.retries) for note in file.notes()]
    assert notes == [
        (What.BEGAN, 1, 0),
        (What.BEGAN, 2, 1),
        (What.ENDED, 1, 0),
        (What.ENDED, 1, 0),
        (What.KILLED, Step.RUN_BEGINS, 0),
    ]


def test_half_a_line_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "1-2.journal").write_text("B 1 0 5.0\nE 1 0 6.", encoding="ascii")

    (file,) = JournalFile.all_in(tmp_path)

    assert [note.what for note in file.notes()] == [What.BEGAN]


@pytest.mark.parametrize("key", ["unacked", "unacked_index", "celery", "model:mine", "_kombu.binding.celery"])
def test_documented_keys_may_stay(key: str) -> None:
    assert any(pattern.fullmatch(key) for pattern in documented_keys())


@pytest.mark.parametrize("key", ["celery-task-meta-1", "mine", "celery.dead", "unacked.fetched.1"])
def test_other_keys_may_not(key: str) -> None:
    assert not any(pattern.fullmatch(key) for pattern in documented_keys())


def test_what_is_left_in_redis_is_found(own_redis: redis.Redis) -> None:
    assert is_empty(own_redis)
    own_redis.lpush("celery", raw_message(Planned(MessageKind.PLAIN, (1,))))
    own_redis.hset("unacked", "tag", raw_message(Planned(MessageKind.PLAIN, (2,))))
    own_redis.zadd("unacked_index", {"tag": 5.0})
    own_redis.lpush("celery.dead", raw_poison(Planned(MessageKind.POISON, (3,), poison=PoisonKind.GARBAGE)))
    own_redis.expire("celery.dead", 100)
    own_redis.set("mine", "leaked")

    leftovers = read_leftovers(own_redis)

    assert not is_empty(own_redis)
    assert (leftovers.queued, leftovers.unacked, leftovers.other) == ({1: "celery"}, {2: 5.0}, 0)
    assert [numbers_in(raw) for raw in read_dead_letters(own_redis)] == [{3}]
    assert find_leaked_keys(own_redis) == ["mine"]


def test_growth_is_told_from_noise_and_outliers() -> None:
    times_s = [float(second) for second in range(30)]
    noise = [300.0 + (7 * second) % 5 for second in range(30)]
    noise[12] = 900.0

    assert growth_of("process_rss_mib", times_s, noise).is_flat
    growing = growth_of("process_rss_mib", times_s, [300.0 + second for second in range(30)])
    assert not growing.is_flat
    assert growing.growth == pytest.approx(29.0)
