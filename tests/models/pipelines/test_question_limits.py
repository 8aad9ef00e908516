"""A question that breaks a limit gets an error with the field and the limit; other questions are not affected."""

from __future__ import annotations

from typing import Any

import pytest

from models.pipelines.base import AnyPipeline, EncodedItem
from producer.contract import MAX_SEQUENCES, ErrorCode, InvalidRequest, QuestionAnsweringRequest

MODEL_READS = 512
#: [CLS], and [SEP] after each part.
SPECIAL = 3
DEFAULT_WINDOW = 384
Error = tuple[ErrorCode, str | None, int | float | str | None]


def flat(pipeline: AnyPipeline, question: str | list[str], context: str | list[str], **parameters: Any) -> list[Any]:
    """The items of one request: the sequences of each, or its error."""
    request = QuestionAnsweringRequest.parse({"question": question, "context": context, **parameters})
    (items,) = pipeline.preprocess([request])
    return [item.sequences if isinstance(item, EncodedItem) else item for item in items]


def error_of(pipeline: AnyPipeline, question: str, context: str, **parameters: Any) -> Error:
    """The error of one question."""
    request = QuestionAnsweringRequest.parse({"question": question, "context": context, **parameters})
    ((error,),) = pipeline.answer([request])
    assert isinstance(error, InvalidRequest)
    assert error.message.startswith(f"{error.field}: ")
    assert str(error.limit) in error.message or error.field == "question"
    return error.code, error.field, error.limit


def words(count: int) -> str:
    """A text of this many tokens."""
    return "a " * count


@pytest.mark.parametrize(("parameters", "window"), [({}, DEFAULT_WINDOW), ({"max_seq_len": 100}, 100)])
def test_a_question_that_leaves_no_room_is_an_error_with_the_longest_that_does(
    questions: AnyPipeline, parameters: dict[str, int], window: int
) -> None:
    longest = window - SPECIAL - 1
    refusal = (ErrorCode.TOO_MANY_TOKENS, "question", longest)
    for tokens in (longest + 1, longest + 100):
        assert error_of(questions, words(tokens), words(200), **parameters, doc_stride=0) == refusal
    (sequences,) = flat(questions, words(longest), words(200), **parameters, doc_stride=0)
    assert [len(sequence.ids) for sequence in sequences] == [window] * 200


def test_the_limit_of_a_question_is_not_less_than_nothing(questions: AnyPipeline) -> None:
    refusal = (ErrorCode.TOO_MANY_TOKENS, "question", 0)
    assert error_of(questions, "a", "a b", max_seq_len=2, doc_stride=0) == refusal


def test_a_long_question_is_no_error_where_all_of_the_context_fits(questions: AnyPipeline) -> None:
    (sequences,) = flat(questions, words(371), words(10))
    assert [len(sequence.ids) for sequence in sequences] == [DEFAULT_WINDOW]


@pytest.mark.parametrize(("question", "window"), [(3, 54), (10, 384), (1, 512)])
def test_an_overlap_of_all_the_room_is_an_error_with_the_largest_that_is_not(
    questions: AnyPipeline, question: int, window: int
) -> None:
    left = window - SPECIAL - question
    arguments: dict[str, Any] = {"question": words(question), "context": words(600), "max_seq_len": window}
    assert error_of(questions, **arguments, doc_stride=left) == (ErrorCode.OUT_OF_RANGE, "doc_stride", left - 1)
    (sequences,) = flat(questions, **arguments, doc_stride=left - 1)
    assert len(sequences) == 600 - left + 1


def test_an_overlap_does_not_matter_where_there_is_one_window(questions: AnyPipeline) -> None:
    (sequences,) = flat(questions, "a", words(50), max_seq_len=54, doc_stride=54)
    assert len(sequences) == 1


def test_an_overlap_that_is_not_given_is_no_more_than_half_a_window(questions: AnyPipeline) -> None:
    given_one, default = (
        flat(questions, "a", words(100), max_seq_len=24, **parameters) for parameters in ({"doc_stride": 12}, {})
    )
    assert given_one == default


def test_a_window_that_is_longer_than_the_model_reads_is_an_error_with_what_it_reads(questions: AnyPipeline) -> None:
    refusal = (ErrorCode.OUT_OF_RANGE, "max_seq_len", MODEL_READS)
    for window in (MODEL_READS + 1, 10**9):
        assert error_of(questions, "a", words(600), max_seq_len=window) == refusal
    (sequences,) = flat(questions, "a", words(600), max_seq_len=MODEL_READS)
    assert max(len(sequence.ids) for sequence in sequences) == MODEL_READS


def test_a_window_may_be_longer_than_the_model_reads_where_the_context_is_not(questions: AnyPipeline) -> None:
    (sequences,) = flat(questions, "a", words(MODEL_READS - SPECIAL - 1), max_seq_len=10**9)
    assert [len(sequence.ids) for sequence in sequences] == [MODEL_READS]


def test_more_windows_than_a_request_may_have_are_an_error(questions: AnyPipeline) -> None:
    windows = {"max_seq_len": SPECIAL + 1 + 2, "doc_stride": 1}
    refusal = (ErrorCode.TOO_MANY, "context", MAX_SEQUENCES)
    assert error_of(questions, "a", words(MAX_SEQUENCES + 2), **windows) == refusal
    (sequences,) = flat(questions, "a", words(MAX_SEQUENCES + 1), **windows)
    assert len(sequences) == MAX_SEQUENCES


def test_the_windows_of_all_questions_of_a_request_are_counted_and_of_each_request_alone(
    questions: AnyPipeline,
) -> None:
    contexts = [words(tokens) for tokens in (1500, 600, 502, 1, 3)]
    request = QuestionAnsweringRequest.parse(
        {"question": ["a"] * len(contexts), "context": contexts, "max_seq_len": SPECIAL + 1 + 2, "doc_stride": 1}
    )
    flattened: list[list[Any]] = questions.preprocess([request, request])
    for items in flattened:
        first, error, third, fourth, full = items
        assert [len(item.sequences) for item in (first, third)] == [1499, 501]
        assert len(fourth.sequences) == 1
        for refused in (error, full):
            assert isinstance(refused, InvalidRequest)
            assert (refused.code, refused.field) == (ErrorCode.TOO_MANY, "context")


def test_of_several_questions_only_the_bad_one_has_the_error_and_other_requests_none(questions: AnyPipeline) -> None:
    context = "Bob went to town. " * 30 + "Peter broke the window."
    several = {"question": ["Who broke the window?", words(400), "Who broke the window?"], "context": [context] * 3}
    requests = [QuestionAnsweringRequest.parse(one) for one in (several, {"question": "Who?", "context": context})]
    answers: list[list[Any]] = questions.answer(requests)
    (first, error, third), (other,) = answers
    assert isinstance(error, InvalidRequest)
    assert (error.code, error.field) == (ErrorCode.TOO_MANY_TOKENS, "question")
    assert first == third
    assert first["answer"] == "Peter"
    assert other["answer"]


def test_a_request_of_bad_questions_alone_is_answered_with_their_errors(questions: AnyPipeline) -> None:
    request = QuestionAnsweringRequest.parse({"question": [words(400)] * 2, "context": [words(600)] * 2})
    (results,) = questions.answer([request])
    assert [isinstance(result, InvalidRequest) for result in results] == [True, True]


def test_every_window_has_the_question_and_its_part_of_the_context(questions: AnyPipeline) -> None:
    numbers = " ".join(map(str, range(1000, 1200)))
    ids = questions.tokenizer.encode(numbers, add_special_tokens=False).ids
    (sequences,) = flat(questions, "which number", numbers, max_seq_len=55, doc_stride=10)
    question = questions.tokenizer.encode("which number").ids
    parts = [sequence.ids[len(question) : -1] for sequence in sequences]
    assert all(sequence.ids[: len(question)] == question for sequence in sequences)
    assert [part[0] for part in parts] == [ids[start] for start in range(0, len(parts) * 40, 40)]
    assert [*parts[0], *(token for part in parts[1:] for token in part[10:])] == ids
