"""Which tasks a worker's models can do, and which of them answers a request."""

from __future__ import annotations

import shutil
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import load_settings
from models.pipelines import tasks_of
from models.store import BUNDLED_DIRECTORY, find
from producer.contract import TaskName
from worker.inference.served_models import ServedModels

TEXTS, TOPICS, QUESTIONS = TaskName
NAMES = ("sentiment", "nli", "qa")


def served(*names: str) -> ServedModels:
    return ServedModels([find(name, Path("nowhere")) for name in names])


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The directory of prepared models that the settings name."""
    monkeypatch.setenv("CELERIAC_MODEL_DIR", str(tmp_path))
    return tmp_path


def test_the_configured_models_are_served_in_their_order_and_missing_ones_are_left_out(
    monkeypatch: pytest.MonkeyPatch, environment: Path
) -> None:
    monkeypatch.setenv("CELERIAC_MODELS", "qa,missing,sentiment")
    (environment / "broken").mkdir()

    assert ServedModels.from_settings(load_settings()).names == ["qa", "sentiment"]

    monkeypatch.setenv("CELERIAC_MODELS", "missing,broken")
    nothing = ServedModels.from_settings(load_settings())
    assert (nothing.names, nothing.tasks, nothing.own_tasks, nothing.names_by_task) == ([], [], [], {})


def test_a_prepared_model_replaces_the_bundled_one_of_the_same_name(
    monkeypatch: pytest.MonkeyPatch, environment: Path
) -> None:
    monkeypatch.setenv("CELERIAC_MODELS", "sentiment")
    shutil.copytree(BUNDLED_DIRECTORY / "sentiment", environment / "sentiment")

    (model,) = ServedModels.from_settings(load_settings()).models

    assert model.directory == environment / "sentiment"


@pytest.mark.parametrize("names", list(permutations(NAMES)), ids=",".join)
def test_the_tasks_do_not_depend_on_the_order_of_the_models(names: tuple[str, ...]) -> None:
    models = served(*names)

    assert models.names == list(names)
    assert models.own_tasks == models.tasks == sorted(TaskName)
    assert models.names_by_task == {TEXTS: ["sentiment"], TOPICS: ["nli"], QUESTIONS: ["qa"]}


def test_a_task_that_no_model_is_made_for_is_served_to_requests_that_name_the_model() -> None:
    nli = served("nli")

    assert (nli.own_tasks, nli.tasks, nli.names_by_task) == ([TOPICS], sorted([TEXTS, TOPICS]), {TOPICS: ["nli"]})
    assert nli.has(TEXTS, "nli")
    assert not nli.has(TEXTS, None)
    assert nli.has(TOPICS, None)


@given(st.sets(st.sampled_from(NAMES)), st.sampled_from(TaskName), st.none() | st.sampled_from([*NAMES, "other", ""]))
def test_a_request_can_be_answered_by_a_model_that_it_names_or_by_one_made_for_its_task(
    names: set[str], task: TaskName, model: str | None
) -> None:
    models = served(*names)

    able = [one.name for one in models.models if task in tasks_of(one)]
    expected = task in models.own_tasks if model is None else model in able
    assert models.has(task, model) == expected


def test_a_model_that_is_configured_twice_has_one_name() -> None:
    assert served("qa", "sentiment", "qa").names == ["qa", "sentiment"]
