"""The schemas of zero-shot classification and question answering."""

from __future__ import annotations

from typing import Any

import pytest

from producer.contract import (
    MAX_INPUTS,
    MAX_LABEL_CHARACTERS,
    MAX_LABELS,
    ErrorCode,
    InvalidRequest,
    QuestionAnsweringRequest,
    ZeroShotClassificationRequest,
)

ZERO_SHOT = {"inputs": "a", "candidate_labels": ["x", "y"]}
QUESTION = {"question": "a", "context": "b"}


@pytest.mark.parametrize(
    ("changes", "code", "field", "limit"),
    [
        ({"candidate_labels": []}, ErrorCode.EMPTY, "candidate_labels", 1),
        ({"candidate_labels": ""}, ErrorCode.EMPTY, "candidate_labels", None),
        ({"candidate_labels": ["x", ""]}, ErrorCode.EMPTY, "candidate_labels[1]", None),
        ({"candidate_labels": ["x"] * (MAX_LABELS + 1)}, ErrorCode.TOO_MANY, "candidate_labels", MAX_LABELS),
        (
            {"candidate_labels": ["x" * (MAX_LABEL_CHARACTERS + 1)]},
            ErrorCode.TOO_LONG,
            "candidate_labels[0]",
            MAX_LABEL_CHARACTERS,
        ),
        ({"hypothesis_template": "It is so."}, ErrorCode.NOT_ALLOWED, "hypothesis_template", None),
        ({"hypothesis_template": ""}, ErrorCode.EMPTY, "hypothesis_template", None),
        ({"multi_label": "yes"}, ErrorCode.WRONG_TYPE, "multi_label", None),
        ({"inputs": ["a"] * (MAX_INPUTS + 1)}, ErrorCode.TOO_MANY, "inputs", MAX_INPUTS),
        ({"inputs": {"text": "a"}}, ErrorCode.WRONG_TYPE, "inputs", None),
    ],
)
def test_zero_shot_names_what_is_wrong(changes: dict[str, Any], code: ErrorCode, field: str, limit: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ZeroShotClassificationRequest.parse({**ZERO_SHOT, **changes})
    assert (caught.value.code, caught.value.field, caught.value.limit) == (code, field, limit)


@pytest.mark.parametrize("labels", ["x, y", ["x", "y"]])
def test_candidate_labels_are_a_list_or_one_string_and_travel_as_they_are(labels: Any) -> None:
    request = ZeroShotClassificationRequest.parse({**ZERO_SHOT, "candidate_labels": labels})
    assert request.to_arguments()["candidate_labels"] == labels


def test_a_bad_text_of_several_is_set_apart_but_a_bad_label_refuses_the_whole_request() -> None:
    parsed = ZeroShotClassificationRequest.parse_items({**ZERO_SHOT, "inputs": ["a", ""]})
    assert list(parsed.errors) == [1]
    with pytest.raises(InvalidRequest, match="candidate_labels"):
        ZeroShotClassificationRequest.parse_items({"inputs": ["a", "b"], "candidate_labels": ["x", ""]})


@pytest.mark.parametrize(
    ("question", "context"),
    [(["a", "b"], ["c"]), (["a"], ["b", "c"]), ("a", ["b"]), (["a"], "b")],
    ids=["fewer contexts", "fewer questions", "one question", "one context"],
)
def test_questions_and_contexts_that_do_not_pair_up_are_refused(question: Any, context: Any) -> None:
    for read in (QuestionAnsweringRequest.parse, QuestionAnsweringRequest.parse_items):
        with pytest.raises(InvalidRequest, match="equal length") as caught:
            read({"question": question, "context": context})
        assert caught.value.code is ErrorCode.WRONG_TYPE


@pytest.mark.parametrize(
    ("question", "context"), [("ab", ["", "c"]), (["", "b"], "ab"), (["a", "b", ""], ["c", "d"]), (["a"], ["", "b"])]
)
def test_a_bad_item_does_not_hide_that_questions_and_contexts_do_not_pair_up(question: Any, context: Any) -> None:
    with pytest.raises(InvalidRequest):
        QuestionAnsweringRequest.parse_items({"question": question, "context": context})


@pytest.mark.parametrize(
    ("changes", "code", "field", "limit"),
    [
        ({"top_k": 0}, ErrorCode.OUT_OF_RANGE, "top_k", 1),
        ({"doc_stride": -1}, ErrorCode.OUT_OF_RANGE, "doc_stride", 0),
        ({"max_answer_len": 0}, ErrorCode.OUT_OF_RANGE, "max_answer_len", 1),
        ({"max_seq_len": 0}, ErrorCode.OUT_OF_RANGE, "max_seq_len", 1),
        ({"max_question_len": 0}, ErrorCode.OUT_OF_RANGE, "max_question_len", 1),
        ({"align_to_words": 1}, ErrorCode.WRONG_TYPE, "align_to_words", None),
        ({"question": ""}, ErrorCode.EMPTY, "question", None),
        ({"context": 5}, ErrorCode.WRONG_TYPE, "context", None),
    ],
)
def test_question_answering_names_what_is_wrong(
    changes: dict[str, Any], code: ErrorCode, field: str, limit: object
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        QuestionAnsweringRequest.parse({**QUESTION, **changes})
    assert (caught.value.code, caught.value.field, caught.value.limit) == (code, field, limit)


def test_a_pair_with_a_bad_question_or_a_bad_context_is_set_apart_as_a_pair() -> None:
    parsed = QuestionAnsweringRequest.parse_items({"question": ["a", "", "c"], "context": ["x", "y", "\x00"]})
    assert parsed.request is not None
    assert (parsed.request.question, parsed.request.context) == (["a"], ["x"])
    assert {index: error.field for index, error in parsed.errors.items()} == {1: "question[1]", 2: "context[2]"}
