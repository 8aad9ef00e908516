"""Queues that somebody waits for are read before bulk ones, and each class in turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.scheduling import cycle_by_name

from config import load_settings
from producer.contract import TaskName
from worker.celery_options import celery_options
from worker.intake.queue_order import InteractiveFirst

A, B, C = "text-classification", "zero-shot-classification", "celery"
A_BULK, B_BULK = f"{A}.bulk", f"{B}.bulk"
QUEUES = [C, A, B, A_BULK, B_BULK]


def test_bulk_queues_come_last_whatever_the_order_was() -> None:
    assert InteractiveFirst([B_BULK, A, A_BULK, C]).consume(4) == [A, C, B_BULK, A_BULK]


def test_a_queue_that_gave_a_message_goes_behind_the_others_of_its_class() -> None:
    cycle = InteractiveFirst(QUEUES)
    assert cycle.rotate(A) == A
    assert cycle.consume(5) == [C, B, A, A_BULK, B_BULK]
    cycle.rotate(A_BULK)
    assert cycle.consume(5) == [C, B, A, B_BULK, A_BULK]


@given(st.lists(st.sampled_from(QUEUES), max_size=20))
def test_no_rotation_loses_a_queue_or_puts_a_bulk_one_first(used: list[str]) -> None:
    cycle = InteractiveFirst(QUEUES)
    for queue in used:
        cycle.rotate(queue)
    order = cycle.consume(5)
    assert sorted(order) == sorted(QUEUES)
    assert set(order[3:]) == {A_BULK, B_BULK}


def test_every_queue_of_a_class_has_its_turn() -> None:
    cycle = InteractiveFirst(QUEUES)
    assert [cycle.rotate(cycle.consume(5)[0]) for _ in range(6)] == [C, A, B, C, A, B]


def test_no_more_queues_are_given_than_asked_for() -> None:
    assert InteractiveFirst(QUEUES).consume(2) == [C, A]
    assert InteractiveFirst().consume(3) == []


def test_a_queue_that_is_gone_may_still_have_given_a_message() -> None:
    cycle = InteractiveFirst([A])
    assert cycle.rotate("gone") == "gone"
    assert cycle.consume(2) == [A]


def test_queues_may_be_added_and_removed() -> None:
    cycle = InteractiveFirst([A, A_BULK])
    cycle.update([B_BULK, B])
    assert cycle.consume(4) == [B, B_BULK]


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The cycle as kombu makes it by the name in our configuration."""
    monkeypatch.chdir(tmp_path)
    options = celery_options(load_settings(), list(TaskName))["broker_transport_options"]
    return cycle_by_name(options["queue_order_strategy"])()


def test_kombu_finds_this_order_by_the_name_in_the_configuration(configured: Any) -> None:
    assert isinstance(configured, InteractiveFirst)
    configured.update(iter([A_BULK, A]))
    assert configured.consume(2) == [A, A_BULK]
