"""What a zero-shot request may contain, and how it is parsed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.contract import (
    MAX_INPUTS,
    MAX_LABEL_CHARACTERS,
    MAX_LABELS,
    MAX_SEQUENCES,
    MAX_TEXT_CHARACTERS,
    ErrorCode,
    InvalidRequest,
    ZeroShotClassificationRequest,
    ZeroShotResult,
)
from tests.producer.helpers import MARKER, refusal_of
from tests.producer.strategies import texts, zero_shot_arguments

ARGUMENTS = {"inputs": MARKER, "candidate_labels": [MARKER, "y"]}
LONGEST_LABEL = "x" * MAX_LABEL_CHARACTERS
RESULT: ZeroShotResult = {"sequence": "a", "labels": ["x", "y"], "scores": [0.9, 0.1]}


def labels_of(candidate_labels: Any) -> list[str]:
    return ZeroShotClassificationRequest.parse({**ARGUMENTS, "candidate_labels": candidate_labels}).labels


def numbered(count: int) -> list[str]:
    return [f"{MARKER} {number}" for number in range(count)]


@pytest.mark.parametrize(
    ("changes", "code", "field", "limit"),
    [
        ({"candidate_labels": []}, ErrorCode.EMPTY, "candidate_labels", 1),
        ({"candidate_labels": ""}, ErrorCode.EMPTY, "candidate_labels", None),
        ({"candidate_labels": " , "}, ErrorCode.EMPTY, "candidate_labels", None),
        ({"candidate_labels": [MARKER, ""]}, ErrorCode.EMPTY, "candidate_labels[1]", None),
        ({"candidate_labels": numbered(101)}, ErrorCode.TOO_MANY, "candidate_labels", MAX_LABELS),
        ({"candidate_labels": ",".join(numbered(101))}, ErrorCode.TOO_MANY, "candidate_labels", MAX_LABELS),
        ({"candidate_labels": numbered(10_000)}, ErrorCode.TOO_MANY, "candidate_labels", MAX_LABELS),
        ({"candidate_labels": "x,y,z, " * 10_000}, ErrorCode.TOO_MANY, "candidate_labels", MAX_LABELS),
        (
            {"candidate_labels": [MARKER, LONGEST_LABEL + MARKER]},
            ErrorCode.TOO_LONG,
            "candidate_labels[1]",
            MAX_LABEL_CHARACTERS,
        ),
        (
            {"candidate_labels": f"{MARKER}, {LONGEST_LABEL}{MARKER}"},
            ErrorCode.TOO_LONG,
            "candidate_labels",
            MAX_LABEL_CHARACTERS,
        ),
        (
            {"candidate_labels": MARKER * MAX_TEXT_CHARACTERS},
            ErrorCode.TOO_LONG,
            "candidate_labels",
            MAX_TEXT_CHARACTERS,
        ),
        ({"candidate_labels": f"{MARKER}, \x00"}, ErrorCode.INVALID_CHARACTER, "candidate_labels", None),
        ({"candidate_labels": [f"{MARKER}\ud800"]}, ErrorCode.INVALID_CHARACTER, "candidate_labels[0]", None),
        ({"candidate_labels": None}, ErrorCode.WRONG_TYPE, "candidate_labels", None),
        ({"candidate_labels": {MARKER: 1}}, ErrorCode.WRONG_TYPE, "candidate_labels", None),
        ({"candidate_labels": [MARKER, 1]}, ErrorCode.WRONG_TYPE, "candidate_labels[1]", None),
        ({"inputs": ""}, ErrorCode.EMPTY, "inputs", None),
        ({"inputs": []}, ErrorCode.EMPTY, "inputs", 1),
        ({"inputs": [""]}, ErrorCode.EMPTY, "inputs[0]", None),
        ({"inputs": {"text": MARKER}}, ErrorCode.WRONG_TYPE, "inputs", None),
        ({"inputs": MARKER * MAX_TEXT_CHARACTERS}, ErrorCode.TOO_LONG, "inputs", MAX_TEXT_CHARACTERS),
        ({"inputs": [MARKER] * (MAX_INPUTS + 1)}, ErrorCode.TOO_MANY, "inputs", MAX_INPUTS),
        ({"multi_label": MARKER}, ErrorCode.WRONG_TYPE, "multi_label", None),
        ({"multi_label": 1}, ErrorCode.WRONG_TYPE, "multi_label", None),
        ({"truncation": MARKER}, ErrorCode.NOT_ALLOWED, "truncation", "true, false or 'windows'"),
        ({"truncation": None}, ErrorCode.WRONG_TYPE, "truncation", None),
        ({"multi_class": True}, ErrorCode.UNKNOWN_PARAMETER, "multi_class", None),
        (
            {"inputs": [MARKER] * 21, "candidate_labels": numbered(100)},
            ErrorCode.TOO_MANY,
            "candidate_labels",
            MAX_SEQUENCES,
        ),
        (
            {"inputs": [MARKER] * 64, "candidate_labels": "a,b,c,d," * 8},
            ErrorCode.TOO_MANY,
            "candidate_labels",
            MAX_SEQUENCES,
        ),
    ],
)
def test_a_refusal_names_its_code_its_field_and_the_limit(
    changes: dict[str, Any], code: ErrorCode, field: str, limit: object
) -> None:
    error = refusal_of(ZeroShotClassificationRequest, {**ARGUMENTS, **changes})
    assert (error.code, error.field, error.limit) == (code, field, limit)
    assert field in error.message
    if code in {ErrorCode.TOO_LONG, ErrorCode.TOO_MANY}:
        assert str(limit) in error.message


@pytest.mark.parametrize("missing", ["inputs", "candidate_labels"])
def test_neither_inputs_nor_labels_can_be_left_out(missing: str) -> None:
    error = refusal_of(
        ZeroShotClassificationRequest, {name: value for name, value in ARGUMENTS.items() if name != missing}
    )
    assert (error.code, error.field) == (ErrorCode.MISSING, missing)


@pytest.mark.parametrize(
    ("candidate_labels", "labels"),
    [
        ("politics, sports , ,food", ["politics", "sports", "food"]),
        ("politics", ["politics"]),
        ("public health,", ["public health"]),
        ("x,x", ["x", "x"]),
        (["politics, sports", " food "], ["politics, sports", " food "]),
        (["x", "x"], ["x", "x"]),
    ],
)
def test_one_string_is_split_at_its_commas_and_a_list_is_taken_as_it_is(
    candidate_labels: Any, labels: list[str]
) -> None:
    assert labels_of(candidate_labels) == labels


@pytest.mark.parametrize("candidate_labels", ["politics, sports , ,food", ["politics", "sports"]])
def test_labels_travel_as_they_were_given(candidate_labels: Any) -> None:
    request = ZeroShotClassificationRequest.parse({**ARGUMENTS, "candidate_labels": candidate_labels})
    assert request.to_arguments() == {**ARGUMENTS, "candidate_labels": candidate_labels}


def test_the_most_and_the_longest_labels_are_accepted() -> None:
    labels = [LONGEST_LABEL] * MAX_LABELS
    assert labels_of(labels) == labels
    assert labels_of(", ".join(labels)) == labels


def test_blank_labels_between_commas_count_for_nothing() -> None:
    assert labels_of("x, ," * MAX_LABELS) == ["x"] * MAX_LABELS


@pytest.mark.parametrize("spelling", [list, ",".join])
def test_the_most_inputs_times_labels_are_accepted(spelling: Any) -> None:
    arguments = {"inputs": ["a"] * 20, "candidate_labels": spelling(numbered(100))}
    assert len(ZeroShotClassificationRequest.parse(arguments).items) * MAX_LABELS == MAX_SEQUENCES


@pytest.mark.parametrize(("inputs", "several"), [("a", False), (["a"], True), (["a", "b"], True)])
def test_only_a_list_of_inputs_is_answered_with_a_list(inputs: Any, several: bool) -> None:
    request = ZeroShotClassificationRequest.parse({**ARGUMENTS, "inputs": inputs})
    assert request.has_several is several
    assert request.items == (inputs if several else [inputs])


def test_the_bad_inputs_of_a_list_are_set_apart_and_merged_back_in_their_places() -> None:
    parsed = ZeroShotClassificationRequest.parse_items({**ARGUMENTS, "inputs": ["a", "", "b", 5, "\x00"]})
    assert parsed.request is not None
    assert parsed.request.items == ["a", "b"]
    merged = parsed.merge([RESULT, RESULT])
    assert [merged[0], merged[2]] == [RESULT, RESULT]
    assert [(merged[index]["error"]["code"], merged[index]["error"]["field"]) for index in (1, 3, 4)] == [
        ("empty", "inputs[1]"),
        ("wrong_type", "inputs[3]"),
        ("invalid_character", "inputs[4]"),
    ]


@pytest.mark.parametrize(
    "changes",
    [{"candidate_labels": ["x", ""]}, {"candidate_labels": ","}, {"hypothesis_template": "none"}, {"multi_label": 1}],
)
def test_a_bad_input_does_not_hide_what_is_wrong_with_the_whole_request(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        ZeroShotClassificationRequest.parse_items({**ARGUMENTS, "inputs": ["a", "", "b"], **changes})


@pytest.mark.parametrize(("bad", "refused"), [(1, False), (0, True)])
def test_inputs_times_labels_are_counted_without_the_bad_inputs(bad: int, refused: bool) -> None:
    inputs = [*["a"] * (21 - bad), "", *[""] * bad]
    arguments = {"inputs": inputs, "candidate_labels": numbered(100)}
    if refused:
        with pytest.raises(InvalidRequest) as caught:
            ZeroShotClassificationRequest.parse_items(arguments)
        assert (caught.value.code, caught.value.limit) == (ErrorCode.TOO_MANY, MAX_SEQUENCES)
    else:
        assert len(ZeroShotClassificationRequest.parse_items(arguments).errors) == 2


@given(zero_shot_arguments())
def test_what_is_sent_is_read_back_as_the_same_request(arguments: dict[str, Any]) -> None:
    request = ZeroShotClassificationRequest.parse(arguments)
    assert request.to_arguments() == arguments
    received = ZeroShotClassificationRequest.parse(request.to_arguments())
    assert received == request
    assert (received.labels, received.hypotheses) == (request.labels, request.hypotheses)


@given(st.lists(texts().filter(lambda label: "," not in label and bool(label.strip())), min_size=1, max_size=10))
def test_labels_in_one_string_are_those_of_the_list_without_the_space_around_them(labels: list[str]) -> None:
    assert labels_of(" , ".join(labels)) == [label.strip() for label in labels]
