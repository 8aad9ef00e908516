"""What the contract accepts, what it refuses, and how it says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.contract import (
    MAX_INPUTS,
    MAX_TEXT_CHARACTERS,
    MIN_WINDOW_TOKENS,
    REQUESTS,
    ErrorCode,
    InvalidRequest,
    ModelFailed,
    QueueClass,
    Request,
    TaskName,
    TextClassificationRequest,
    TextInput,
    queue_name,
)
from tests.producer.helpers import MARKER
from tests.producer.strategies import ALL_PARAMETERS, json_values, texts

TOO_LONG = "x" * (MAX_TEXT_CHARACTERS + 1)
ANSWER = [{"label": "POSITIVE", "score": 0.9}]


def refusal(arguments: dict[str, Any]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        TextClassificationRequest.parse(arguments)
    return caught.value


def outcome_of(read: Callable[[dict[str, Any]], Any], arguments: dict[str, Any]) -> Any:
    try:
        return read(arguments)
    except InvalidRequest as error:
        return error


@pytest.mark.parametrize(
    ("arguments", "code", "field", "limit"),
    [
        ({}, ErrorCode.MISSING, "inputs", None),
        ({"inputs": None}, ErrorCode.WRONG_TYPE, "inputs", None),
        ({"inputs": 5}, ErrorCode.WRONG_TYPE, "inputs", None),
        ({"inputs": {"text": 5}}, ErrorCode.WRONG_TYPE, "inputs.text", None),
        ({"inputs": {"text_pair": "b"}}, ErrorCode.MISSING, "inputs.text", None),
        ({"inputs": ["a", None]}, ErrorCode.WRONG_TYPE, "inputs[1]", None),
        ({"inputs": ["a", {"text": "b", "text_pair": 1}]}, ErrorCode.WRONG_TYPE, "inputs[1].text_pair", None),
        ({"inputs": ["a", {"text": "b", "pair": "c"}]}, ErrorCode.UNKNOWN_PARAMETER, "inputs[1].pair", None),
        ({"inputs": ""}, ErrorCode.EMPTY, "inputs", None),
        ({"inputs": []}, ErrorCode.EMPTY, "inputs", 1),
        ({"inputs": {"text": "a", "text_pair": ""}}, ErrorCode.EMPTY, "inputs.text_pair", None),
        ({"inputs": TOO_LONG}, ErrorCode.TOO_LONG, "inputs", MAX_TEXT_CHARACTERS),
        ({"inputs": ["a", TOO_LONG]}, ErrorCode.TOO_LONG, "inputs[1]", MAX_TEXT_CHARACTERS),
        ({"inputs": ["a"] * (MAX_INPUTS + 1)}, ErrorCode.TOO_MANY, "inputs", MAX_INPUTS),
        ({"inputs": "a\x00b"}, ErrorCode.INVALID_CHARACTER, "inputs", None),
        ({"inputs": ["a", "b\ud800"]}, ErrorCode.INVALID_CHARACTER, "inputs[1]", None),
        ({"inputs": "a", "model": ""}, ErrorCode.EMPTY, "model", None),
        ({"inputs": "a", "model": "m" * 201}, ErrorCode.TOO_LONG, "model", 200),
        ({"inputs": "a", "top_k": 0}, ErrorCode.OUT_OF_RANGE, "top_k", 1),
        ({"inputs": "a", "top_k": True}, ErrorCode.WRONG_TYPE, "top_k", None),
        ({"inputs": "a", "top_k": "1"}, ErrorCode.WRONG_TYPE, "top_k", None),
        ({"inputs": "a", "truncation": 1}, ErrorCode.WRONG_TYPE, "truncation", None),
        ({"inputs": "a", "truncation": ["windows"]}, ErrorCode.WRONG_TYPE, "truncation", None),
        ({"inputs": "a", "truncation": "cut"}, ErrorCode.NOT_ALLOWED, "truncation", "true, false or 'windows'"),
        ({"inputs": "a", "combine_windows": "sum"}, ErrorCode.NOT_ALLOWED, "combine_windows", "'mean' or 'max'"),
        ({"inputs": "a", "max_seq_len": 31}, ErrorCode.OUT_OF_RANGE, "max_seq_len", MIN_WINDOW_TOKENS),
        ({"inputs": "a", "doc_stride": -1}, ErrorCode.OUT_OF_RANGE, "doc_stride", 0),
        (
            {"inputs": "a", "function_to_apply": "relu"},
            ErrorCode.NOT_ALLOWED,
            "function_to_apply",
            "'sigmoid', 'softmax' or 'none'",
        ),
    ],
)
def test_a_refusal_names_its_code_its_field_and_the_limit(
    arguments: dict[str, Any], code: ErrorCode, field: str, limit: object
) -> None:
    error = refusal(arguments)
    assert (error.code, error.field, error.limit) == (code, field, limit)
    assert error.message.startswith(f"{field}: ")


def test_unknown_parameters_are_all_named_with_those_that_exist() -> None:
    error = refusal({"inputs": "", "topk": 1, "truncate": True})
    assert (error.code, error.field) == (ErrorCode.UNKNOWN_PARAMETER, "topk")
    assert "topk, truncate" in error.message
    assert "function_to_apply, inputs, max_seq_len, model, top_k, truncation" in error.message


def test_a_long_or_unprintable_parameter_name_is_shown_shortened() -> None:
    error = refusal({"inputs": "a", "\n" + "n" * 1000: 1})
    assert error.field == "?" + "n" * 63 + "…"
    assert error.message.isprintable()


def test_the_longest_text_and_the_most_inputs_are_accepted() -> None:
    inputs = ["é" * MAX_TEXT_CHARACTERS, *["a"] * (MAX_INPUTS - 1)]
    assert len(TextClassificationRequest.parse({"inputs": inputs}).items) == MAX_INPUTS


@pytest.mark.parametrize(
    ("inputs", "several"), [("a", False), ({"text": "a", "text_pair": "b"}, False), (["a"], True), (["a", "b"], True)]
)
def test_only_a_list_of_inputs_is_answered_with_a_list(inputs: Any, several: bool) -> None:
    request = TextClassificationRequest.parse({"inputs": inputs})
    assert request.has_several is several
    assert len(request.items) == (len(inputs) if several else 1)


def test_only_what_was_set_is_sent_and_a_text_alone_is_sent_as_a_string() -> None:
    request = TextClassificationRequest(inputs=[TextInput(text="a"), TextInput(text="b", text_pair="c")], top_k=None)
    assert request.to_arguments() == {"inputs": ["a", {"text": "b", "text_pair": "c"}], "top_k": None}


INPUTS = st.one_of(texts(), st.fixed_dictionaries({"text": texts()}, optional={"text_pair": texts() | st.none()}))
ARGUMENTS = st.fixed_dictionaries(
    {"inputs": INPUTS | st.lists(INPUTS, min_size=1, max_size=5)},
    optional={
        "model": texts(max_size=200),
        "top_k": st.integers(min_value=1) | st.none(),
        "function_to_apply": st.sampled_from(["sigmoid", "softmax", "none", None]),
        "truncation": st.sampled_from([True, False, "windows"]),
        "combine_windows": st.sampled_from(["mean", "max"]),
        "max_seq_len": st.none() | st.integers(min_value=MIN_WINDOW_TOKENS),
        "doc_stride": st.integers(min_value=0),
    },
)


@given(ARGUMENTS)
def test_what_is_sent_is_read_back_as_the_same_request(arguments: dict[str, Any]) -> None:
    request = TextClassificationRequest.parse(arguments)
    assert TextClassificationRequest.parse(request.to_arguments()) == request


@pytest.mark.parametrize("schema", REQUESTS.values())
@settings(max_examples=50)
@given(arguments=st.dictionaries(st.sampled_from(ALL_PARAMETERS) | st.text(), json_values()))
def test_no_arguments_make_parsing_fail_with_anything_but_a_refusal(
    schema: type[Request], arguments: dict[str, Any]
) -> None:
    for read in (schema.parse, schema.parse_items):
        outcome = outcome_of(read, arguments)
        if isinstance(outcome, InvalidRequest):
            assert outcome.message
            assert outcome.code in ErrorCode


@pytest.mark.parametrize("schema", REQUESTS.values())
@settings(max_examples=50)
@given(
    arguments=st.dictionaries(
        st.sampled_from(ALL_PARAMETERS), json_values(st.text().map(lambda text: f"{text}{MARKER}\x00"))
    )
)
def test_no_refusal_repeats_what_the_request_says(schema: type[Request], arguments: dict[str, Any]) -> None:
    outcome = outcome_of(schema.parse_items, arguments)
    errors = [outcome] if isinstance(outcome, InvalidRequest) else list(outcome.errors.values())
    assert errors, "NUL is in every text, and no request does without a text"
    assert MARKER not in repr([(str(error), error.args, error.__cause__, error.__context__) for error in errors])


def test_the_bad_items_of_a_list_are_set_apart_and_merged_back_in_their_place() -> None:
    parsed = TextClassificationRequest.parse_items({"inputs": ["good", "", {"text": 5}, "fine"], "top_k": 1})
    assert parsed.request is not None
    assert [item.text for item in parsed.request.items] == ["good", "fine"]
    assert parsed.merge([ANSWER, ANSWER]) == [
        ANSWER,
        {"error": {"code": "empty", "message": "inputs[1]: must not be empty", "field": "inputs[1]", "limit": None}},
        {
            "error": {
                "code": "wrong_type",
                "message": "inputs[2].text: input should be a valid string",
                "field": "inputs[2].text",
                "limit": None,
            }
        },
        ANSWER,
    ]


@given(st.lists(st.booleans(), min_size=2, max_size=MAX_INPUTS))
def test_every_outcome_is_at_the_index_of_its_item(are_good: list[bool]) -> None:
    parsed = TextClassificationRequest.parse_items({"inputs": ["x" if is_good else "" for is_good in are_good]})
    assert (parsed.request is None) == (not any(are_good))
    good = [index for index, is_good in enumerate(are_good) if is_good]
    merged = parsed.merge(good)
    assert len(merged) == len(are_good)
    for index, is_good in enumerate(are_good):
        assert merged[index] == index if is_good else merged[index]["error"]["field"] == f"inputs[{index}]"


@pytest.mark.parametrize("inputs", ["", [""], {"text": ""}])
def test_a_request_of_one_bad_item_is_refused_whole(inputs: Any) -> None:
    with pytest.raises(InvalidRequest, match="must not be empty"):
        TextClassificationRequest.parse_items({"inputs": inputs})


@pytest.mark.parametrize(
    "further", [{"top_k": 0}, {"unknown": 1}, {"model": 5}], ids=["parameter", "unknown parameter", "model"]
)
def test_a_list_with_a_bad_item_and_a_bad_parameter_is_refused_whole(further: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        TextClassificationRequest.parse_items({"inputs": ["good", "", "fine"], **further})


def test_too_many_inputs_are_refused_whole_whatever_is_wrong_with_one() -> None:
    with pytest.raises(InvalidRequest) as caught:
        TextClassificationRequest.parse_items({"inputs": ["", *["a"] * MAX_INPUTS]})
    assert caught.value.code is ErrorCode.TOO_MANY


@pytest.mark.parametrize(("inputs", "merged"), [("a", ANSWER), (["a"], [ANSWER]), (["a", "b"], [ANSWER, ANSWER])])
def test_a_merged_answer_has_the_shape_that_was_sent(inputs: Any, merged: Any) -> None:
    parsed = TextClassificationRequest.parse_items({"inputs": inputs})
    assert parsed.merge([ANSWER] * (len(inputs) if isinstance(inputs, list) else 1)) == merged


@pytest.mark.parametrize("inputs", ["a", ["a"]])
def test_an_error_of_the_model_on_a_single_item_is_raised(inputs: Any) -> None:
    with pytest.raises(ModelFailed):
        TextClassificationRequest.parse_items({"inputs": inputs}).merge([ModelFailed.of(ErrorCode.MODEL_FAILED, "no")])


def test_an_error_of_the_model_on_one_item_of_several_stands_in_its_place_with_its_index() -> None:
    error = InvalidRequest.of(ErrorCode.TOO_MANY_TOKENS, "too long", field="inputs", limit=512)
    parsed = TextClassificationRequest.parse_items({"inputs": ["a", "", "b"]})
    failure = parsed.merge([ANSWER, error])[2]["error"]
    assert failure == {"code": "too_many_tokens", "message": "too long", "field": "inputs[2]", "limit": 512}


@pytest.mark.parametrize("task", TaskName)
def test_a_task_has_an_interactive_and_a_bulk_queue(task: TaskName) -> None:
    assert queue_name(task) == task.value
    assert queue_name(task, QueueClass.BULK) == f"{task.value}.bulk"
