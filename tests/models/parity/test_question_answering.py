"""Answers, positions and scores are those of the ``question-answering`` pipeline of ``transformers``."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from models.pipelines.base import AnyPipeline
from producer.contract import AnswerSpan, InvalidRequest, QuestionAnsweringRequest, TaskName
from tests.models.parity.conftest import Reference, thinned
from tests.models.parity.texts import CONTEXTS, ODD, QUESTIONS, seeded_random

TASK = TaskName.QUESTION_ANSWERING
VALUES: dict[str, list[Any]] = {
    "top_k": [2, 5, 20],
    "doc_stride": [0, 16, 60],
    "max_answer_len": [1, 3, 50],
    "max_seq_len": [64, 100, 512],
    "max_question_len": [4, 64],
    "handle_impossible_answer": [True],
    "align_to_words": [False],
}
Case = tuple[str, str, dict[str, Any]]


def cases() -> list[Case]:
    """At least 300 questions, with every parameter alone and every pair of parameters."""
    rng = seeded_random()
    alone = [{name: value} for name, values in VALUES.items() for value in values]
    together = [
        {one: first, two: second}
        for one, two in itertools.combinations(VALUES, 2)
        for first in VALUES[one]
        for second in VALUES[two]
    ]
    plain = [
        (rng.choice(QUESTIONS), CONTEXTS[index % len(CONTEXTS)], parameters)
        for index, parameters in enumerate([*[{}] * 120, *alone, *alone, *together])
    ]
    odd: list[Case] = []
    for text in ODD:
        odd += [("what is it?", text, {}), ("what is it?", text, {"top_k": 5, "handle_impossible_answer": True})]
        if len(text) < 400:
            odd.append((text, f"{text} is first, they say that {text} was there, and last {text}", {"top_k": 3}))
    return [*plain, *odd]


def test_every_question_gets_the_answers_of_the_reference_at_the_same_places(
    exported: Callable[[str], dict[TaskName, AnyPipeline]], reference: Callable[[TaskName, str], Reference]
) -> None:
    ours, theirs = exported("qa")[TASK], reference(TASK, "qa")
    everything = cases()
    assert len(everything) >= 300
    refused = 0
    for question, context, parameters in thinned(everything):
        request = QuestionAnsweringRequest.parse({"question": question, "context": context, **parameters})
        ((answer,),) = ours.answer([request])
        try:
            expected = theirs(question=question, context=context, **parameters)
        except BaseException as error:  # noqa: BLE001 - the Rust tokenizer panics, which is no Exception
            expected = error
        case = (question, context, parameters, answer, expected)
        assert isinstance(answer, InvalidRequest) == isinstance(expected, BaseException), case
        if isinstance(answer, InvalidRequest):
            refused += 1
        else:
            assert same(as_list(answer), as_list(expected)), case
    assert refused < len(everything) // 20


def as_list(answer: Any) -> list[AnswerSpan]:
    """If several answers are requested and there is one, the reference returns it without a list."""
    return answer if isinstance(answer, list) else [answer]


def same(ours: list[AnswerSpan], theirs: list[AnswerSpan]) -> bool:
    """Whether the spans are equal and in the same order, except for scores within 1e-6; scores may differ by 1e-4."""
    if len(ours) != len(theirs):
        return False
    left = list(enumerate(ours))
    for index, expected in enumerate(theirs):
        hit = next((entry for entry in left if _fits(entry, index, ours, expected)), None)
        if hit is None:
            return False
        left.remove(hit)
    return True


def _fits(entry: tuple[int, AnswerSpan], index: int, ours: list[AnswerSpan], expected: AnswerSpan) -> bool:
    position, answer = entry
    return (
        (answer["start"], answer["end"], answer["answer"]) == (expected["start"], expected["end"], expected["answer"])
        and abs(answer["score"] - expected["score"]) <= 1e-4
        and (position == index or abs(ours[index]["score"] - answer["score"]) <= 1e-6)
    )
