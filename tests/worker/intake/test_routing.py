"""Which requests stay with a worker, and in which queue the others find the worker that has their model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from models.store import BUNDLED_DIRECTORY, find
from producer.contract import TaskName
from worker.inference.served_models import ServedModels
from worker.intake.routing import queue_elsewhere

TEXTS, TOPICS, QUESTIONS = TaskName
#: What other workers have said that they have.
KNOWN = {(TEXTS, "other"), (TEXTS, "nli"), (TOPICS, "other-nli")}


def served(*names: str) -> ServedModels:
    return ServedModels([find(name, BUNDLED_DIRECTORY) for name in names])


def elsewhere(here: ServedModels, task: str, model: Any, queue: str | None) -> str | None:
    kwargs = {"inputs": "x"} if model is None else {"inputs": "x", "model": model}
    message = SimpleNamespace(headers={"task": task}, payload=[[], kwargs, {}], delivery_info={"routing_key": queue})
    return queue_elsewhere(message, here, lambda task, model: (task, model) in KNOWN)


@pytest.mark.parametrize(
    ("names", "task", "model"),
    [
        (["sentiment"], TEXTS, None),
        (["sentiment"], TEXTS, "sentiment"),
        (["sentiment"], TEXTS, "unknown"),
        (["sentiment"], TEXTS, "x" * 10_000),
        (["sentiment"], TEXTS, "half a \ud800 pair"),
        (["sentiment"], TEXTS, 5),
        (["sentiment"], TEXTS, ["other"]),
        (["sentiment"], QUESTIONS, None),
        (["sentiment"], QUESTIONS, "other"),
        (["sentiment"], "no-task", "other"),
        (["sentiment", "nli"], TEXTS, "nli"),
        (["nli"], TEXTS, "nli"),
    ],
)
def test_what_is_answered_here_known_to_nobody_or_none_of_its_tasks_stays(
    names: list[str], task: str, model: Any
) -> None:
    assert elsewhere(served(*names), task, model, "text-classification") is None


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        ("text-classification", "model:other"),
        ("celery", "model:other"),
        (None, "model:other"),
        ("model:sentiment", "model:other"),
        ("text-classification.bulk", "model.bulk:other"),
        ("model.bulk:sentiment", "model.bulk:other"),
        ("model:other", None),
        ("model.bulk:other", None),
    ],
)
def test_a_request_for_a_model_of_another_worker_goes_to_its_queue_of_the_same_class_and_never_back(
    queue: str | None, expected: str | None
) -> None:
    assert elsewhere(served("sentiment"), TEXTS, "other", queue) == expected


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        ("celery", "text-classification"),
        ("model:nli", "text-classification"),
        ("model.bulk:nli", "text-classification.bulk"),
        ("text-classification", None),
    ],
)
def test_a_model_that_does_a_task_only_when_it_is_named_leaves_the_other_requests_to_the_tasks_workers(
    queue: str, expected: str | None
) -> None:
    assert elsewhere(served("nli"), TEXTS, None, queue) == expected


def test_the_tasks_of_a_worker_are_those_its_models_are_made_for_and_those_beside_them() -> None:
    nli = served("nli")
    assert (nli.own_tasks, nli.tasks, nli.names) == ([TOPICS], sorted([TEXTS, TOPICS]), ["nli"])
    assert served("qa", "sentiment", "qa").names == ["qa", "sentiment"]
