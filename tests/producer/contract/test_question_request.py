"""What a question-answering request may contain, and how it is parsed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.contract import (
    MAX_ANSWERS,
    MAX_INPUTS,
    MAX_TEXT_CHARACTERS,
    AnswerSpan,
    ErrorCode,
    InvalidRequest,
    QuestionAnsweringRequest,
)
from tests.producer.helpers import MARKER, refusal_of
from tests.producer.strategies import question_arguments

ARGUMENTS = {"question": MARKER, "context": MARKER}
RESULT: AnswerSpan = {"score": 0.9, "start": 0, "end": 1, "answer": "a"}
TOO_LONG = MARKER + "x" * MAX_TEXT_CHARACTERS


def request_of(**changes: Any) -> QuestionAnsweringRequest:
    return QuestionAnsweringRequest.parse({"question": "a", "context": "b", **changes})


@pytest.mark.parametrize(
    ("changes", "code", "field", "limit"),
    [
        ({"question": ""}, ErrorCode.EMPTY, "question", None),
        ({"context": ""}, ErrorCode.EMPTY, "context", None),
        ({"question": TOO_LONG}, ErrorCode.TOO_LONG, "question", MAX_TEXT_CHARACTERS),
        ({"context": TOO_LONG}, ErrorCode.TOO_LONG, "context", MAX_TEXT_CHARACTERS),
        ({"question": None}, ErrorCode.WRONG_TYPE, "question", None),
        ({"context": 5}, ErrorCode.WRONG_TYPE, "context", None),
        ({"context": {"text": MARKER}}, ErrorCode.WRONG_TYPE, "context", None),
        ({"context": f"{MARKER}\x00"}, ErrorCode.INVALID_CHARACTER, "context", None),
        ({"question": [], "context": []}, ErrorCode.EMPTY, "question", 1),
        ({"question": ["a"] * 65, "context": ["b"] * 65}, ErrorCode.TOO_MANY, "question", MAX_INPUTS),
        ({"top_k": 0}, ErrorCode.OUT_OF_RANGE, "top_k", 1),
        ({"top_k": -1}, ErrorCode.OUT_OF_RANGE, "top_k", 1),
        ({"top_k": MAX_ANSWERS + 1}, ErrorCode.OUT_OF_RANGE, "top_k", MAX_ANSWERS),
        ({"top_k": None}, ErrorCode.WRONG_TYPE, "top_k", None),
        ({"top_k": 1.0}, ErrorCode.WRONG_TYPE, "top_k", None),
        ({"doc_stride": -1}, ErrorCode.OUT_OF_RANGE, "doc_stride", 0),
        ({"max_answer_len": 0}, ErrorCode.OUT_OF_RANGE, "max_answer_len", 1),
        ({"max_answer_len": -5}, ErrorCode.OUT_OF_RANGE, "max_answer_len", 1),
        ({"max_seq_len": 0}, ErrorCode.OUT_OF_RANGE, "max_seq_len", 1),
        ({"max_seq_len": -384}, ErrorCode.OUT_OF_RANGE, "max_seq_len", 1),
        ({"max_question_len": 0}, ErrorCode.OUT_OF_RANGE, "max_question_len", 1),
        ({"max_question_len": -1}, ErrorCode.OUT_OF_RANGE, "max_question_len", 1),
        ({"doc_stride": 385}, ErrorCode.OUT_OF_RANGE, "doc_stride", 384),
        ({"max_seq_len": 100, "doc_stride": 101}, ErrorCode.OUT_OF_RANGE, "doc_stride", 100),
        ({"doc_stride": 101, "max_seq_len": 100}, ErrorCode.OUT_OF_RANGE, "doc_stride", 100),
        ({"max_seq_len": 0, "doc_stride": 5}, ErrorCode.OUT_OF_RANGE, "max_seq_len", 1),
        ({"handle_impossible_answer": 1}, ErrorCode.WRONG_TYPE, "handle_impossible_answer", None),
        ({"align_to_words": MARKER}, ErrorCode.WRONG_TYPE, "align_to_words", None),
        ({"topk": 1}, ErrorCode.UNKNOWN_PARAMETER, "topk", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_refusal_names_its_code_its_field_and_the_limit(
    changes: dict[str, Any], code: ErrorCode, field: str, limit: object
) -> None:
    error = refusal_of(QuestionAnsweringRequest, {**ARGUMENTS, **changes})
    assert (error.code, error.field, error.limit) == (code, field, limit)
    assert field in error.message
    if isinstance(limit, int):
        assert str(limit) in error.message


@pytest.mark.parametrize("missing", ["question", "context"])
def test_neither_question_nor_context_can_be_left_out(missing: str) -> None:
    error = refusal_of(QuestionAnsweringRequest, {name: MARKER for name in ARGUMENTS if name != missing})
    assert (error.code, error.field) == (ErrorCode.MISSING, missing)


@pytest.mark.parametrize(
    ("question", "context"),
    [
        ([MARKER, "b"], ["c"]),
        (["a"], [MARKER, "c"]),
        (MARKER, ["b"]),
        (["a"], MARKER),
        ("ab", ["c", "d"]),
        (["a", "b"], MARKER),
    ],
    ids=["fewer contexts", "fewer questions", "one question", "one context", "a word is no list", "one for two"],
)
def test_questions_and_contexts_that_do_not_pair_up_are_refused_by_the_name_of_the_field(
    question: Any, context: Any
) -> None:
    error = refusal_of(QuestionAnsweringRequest, {"question": question, "context": context})
    assert (error.code, error.field) == (ErrorCode.WRONG_TYPE, "context")
    assert error.message == "context: must match question: both strings, or both lists of the same length"


@pytest.mark.parametrize(
    ("question", "context"), [("ab", ["", "c"]), (["", "b"], "ab"), (["a", "b", ""], ["c", "d"]), (["a"], ["", "b"])]
)
def test_a_bad_item_does_not_hide_that_questions_and_contexts_do_not_pair_up(question: Any, context: Any) -> None:
    with pytest.raises(InvalidRequest):
        QuestionAnsweringRequest.parse_items({"question": question, "context": context})


def test_the_longest_texts_and_the_most_pairs_and_answers_are_accepted() -> None:
    longest = "é" * MAX_TEXT_CHARACTERS
    several = [longest, *["a"] * (MAX_INPUTS - 1)]
    request = request_of(question=several, context=several, top_k=MAX_ANSWERS, doc_stride=384)
    assert request.items == list(zip(several, several, strict=True))


@pytest.mark.parametrize(
    ("question", "context", "several"), [("a", "b", False), (["a"], ["b"], True), (["a", "b"], ["c", "d"], True)]
)
def test_only_lists_are_answered_with_a_list(question: Any, context: Any, several: bool) -> None:
    request = request_of(question=question, context=context)
    assert request.has_several is several
    assert request.items == (list(zip(question, context, strict=True)) if several else [(question, context)])


def test_a_pair_with_a_bad_question_or_a_bad_context_is_set_apart_and_merged_back_in_its_place() -> None:
    parsed = QuestionAnsweringRequest.parse_items(
        {"question": ["a", "", "c", "d", ""], "context": ["x", "y", TOO_LONG, "z", None], "top_k": 2}
    )
    assert parsed.request is not None
    assert parsed.request.items == [("a", "x"), ("d", "z")]
    assert parsed.request.top_k == 2
    merged = parsed.merge([RESULT, [RESULT, RESULT]])
    assert [merged[0], merged[3]] == [RESULT, [RESULT, RESULT]]
    assert [merged[index]["error"] for index in (1, 2, 4)] == [
        {"code": "empty", "message": "question[1]: must not be empty", "field": "question[1]", "limit": None},
        {
            "code": "too_long",
            "message": f"context[2]: string should have at most {MAX_TEXT_CHARACTERS} characters",
            "field": "context[2]",
            "limit": MAX_TEXT_CHARACTERS,
        },
        {"code": "empty", "message": "question[4]: must not be empty", "field": "question[4]", "limit": None},
    ]


def test_pairs_that_are_all_bad_leave_nothing_to_answer() -> None:
    parsed = QuestionAnsweringRequest.parse_items({"question": ["", "b"], "context": ["x", ""]})
    assert parsed.request is None
    assert [failure["error"]["field"] for failure in parsed.merge([])] == ["question[0]", "context[1]"]


@pytest.mark.parametrize(
    "changes", [{"top_k": 0}, {"doc_stride": 500}, {"max_seq_len": 10, "doc_stride": 11}, {"stride": 1}]
)
def test_a_bad_pair_does_not_hide_what_is_wrong_with_the_whole_request(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        QuestionAnsweringRequest.parse_items({"question": ["a", "b"], "context": ["", "c"], **changes})
    assert caught.value.code in {ErrorCode.EMPTY, ErrorCode.OUT_OF_RANGE, ErrorCode.UNKNOWN_PARAMETER}


@pytest.mark.parametrize(
    ("model_reads", "given_tokens", "window", "overlap"),
    [
        (512, {}, 384, 128),
        (384, {}, 384, 128),
        (256, {}, 256, 128),
        (128, {}, 128, 64),
        (33, {}, 33, 16),
        (1, {}, 1, 0),
        (512, {"max_seq_len": 384}, 384, 128),
        (512, {"max_seq_len": 512}, 512, 128),
        (512, {"max_seq_len": 100}, 100, 50),
        (512, {"max_seq_len": 1}, 1, 0),
        (128, {"max_seq_len": 384}, 384, 128),
        (512, {"doc_stride": 128}, 384, 128),
        (512, {"doc_stride": 0}, 384, 0),
        (512, {"doc_stride": 384}, 384, 384),
        (128, {"doc_stride": 100}, 128, 100),
        (512, {"max_seq_len": 100, "doc_stride": 100}, 100, 100),
        (512, {"max_seq_len": 50, "doc_stride": 0}, 50, 0),
    ],
)
def test_windows_that_are_not_given_are_those_of_transformers(
    model_reads: int, given_tokens: dict[str, int], window: int, overlap: int
) -> None:
    assert request_of(**given_tokens).window_tokens(model_reads) == (window, overlap)


def test_a_shorter_window_alone_needs_no_overlap_named_with_it() -> None:
    assert request_of(max_seq_len=10).to_arguments() == {"question": "a", "context": "b", "max_seq_len": 10}


@given(arguments=question_arguments(), model_reads=st.integers(1, 8192))
def test_what_is_sent_is_read_back_as_the_same_request(arguments: dict[str, Any], model_reads: int) -> None:
    request = QuestionAnsweringRequest.parse(arguments)
    assert request.to_arguments() == arguments
    received = QuestionAnsweringRequest.parse(request.to_arguments())
    assert received == request
    assert received.items == request.items
    assert received.window_tokens(model_reads) == request.window_tokens(model_reads)


@given(st.lists(st.sampled_from(["good", "no question", "no context"]), min_size=2, max_size=MAX_INPUTS))
def test_every_outcome_is_at_the_index_of_its_pair(kinds: list[str]) -> None:
    parsed = QuestionAnsweringRequest.parse_items(
        {
            "question": ["" if kind == "no question" else "a" for kind in kinds],
            "context": ["" if kind == "no context" else "b" for kind in kinds],
        }
    )
    good = [index for index, kind in enumerate(kinds) if kind == "good"]
    merged = parsed.merge(good)
    fields = [outcome if isinstance(outcome, int) else outcome["error"]["field"] for outcome in merged]
    expected = {"no question": "question[{}]", "no context": "context[{}]"}
    assert fields == [index if kind == "good" else expected[kind].format(index) for index, kind in enumerate(kinds)]
