"""The arguments of a request by name, before anything is validated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.contract import REQUESTS, TaskName
from worker.inference.arguments import arguments_by_name, named_model

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=10,
)
TASKS = st.sampled_from(TaskName)


@given(TASKS, st.data())
def test_it_does_not_matter_which_arguments_are_positional(task: TaskName, data: st.DataObject) -> None:
    names = REQUESTS[task].positions()
    values = {name: f"value of {name}" for name in names}
    positional = data.draw(st.integers(0, len(names)))
    args = [values[name] for name in names[:positional]]
    kwargs = {name: values[name] for name in names[positional:]}

    assert arguments_by_name(task.value, args, kwargs) == values
    assert arguments_by_name(task.value, tuple(args), kwargs) == values
    assert named_model(task.value, args, kwargs) == "value of model"


@given(TASKS.map(str) | st.text(max_size=10), JSON_VALUES, JSON_VALUES)
def test_no_message_makes_it_fail_and_keyword_arguments_keep_their_values(task: str, args: Any, kwargs: Any) -> None:
    named = arguments_by_name(task, args, kwargs)

    if isinstance(kwargs, dict):
        assert {name: named[name] for name in kwargs} == kwargs
        named_model(task, args, kwargs)
    else:
        assert named == {}
        assert named_model(task, args, kwargs) is None


@pytest.mark.parametrize(
    ("task", "args", "kwargs", "model"),
    [
        ("text-classification", [], {}, None),
        ("text-classification", [], {"model": None}, None),
        ("text-classification", [], {"model": "nli"}, "nli"),
        ("text-classification", ["a text"], {"model": ["no", "name"]}, ["no", "name"]),
        ("text-classification", [None] * 50, {"model": "nli"}, "nli"),
        ("text-classification", "a text", {"model": "nli"}, "nli"),
        ("text-classification", [], [["model", "nli"]], None),
        ("text-classification", [], None, None),
        ("another-task", ["a text"], {"model": "nli"}, "nli"),
        ("another-task", ["a text"], {}, None),
    ],
    ids=str,
)
def test_the_named_model_is_whatever_the_sender_wrote(task: str, args: Any, kwargs: Any, model: Any) -> None:
    assert named_model(task, args, kwargs) == model


def test_positional_arguments_of_a_task_outside_the_contract_have_no_names() -> None:
    assert arguments_by_name("another-task", ["a text", 5], {"x": 1}) == {"x": 1}


def test_more_positional_arguments_than_parameters_leave_only_the_keyword_arguments() -> None:
    assert arguments_by_name("text-classification", ["x"] * 50, {"top_k": 1}) == {"top_k": 1}
