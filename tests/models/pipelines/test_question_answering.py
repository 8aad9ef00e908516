"""Question answering on the bundled model, in the shapes of the ``transformers`` pipeline."""

# ruff: noqa: RUF001 - characters that look like others are what is wanted here

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.pipelines.base import AnyPipeline
from producer.contract import AnswerSpan, QuestionAnsweringRequest, RequestError

BRIDGE = (
    "The footbridge was opened in 1964. It was designed by Ingrid Halvorsen, who had never built anything over "
    "water before, and it has been repaired only once."
)
WHO = "Who designed the bridge?"
ODD_CONTEXTS = [
    "🙂🙂 The 👩‍👩‍👧‍👦 family says that Zoë Ångström 🙂 designed the bridge 🙂🙂",
    "Le cafe\u0301 dit que Zoe\u0308 A\u030angstro\u0308m designed the bridge, e\u0301te\u0301 1964.",
    "שלום עולם, אמרו. The bridge was designed by Zoë Ångström. مرحبا بالعالم",
    "你好，世界。The bridge was designed by Zoë Ångström。这很好",
    "\t\tThe bridge\twas\tdesigned\nby\r\n\tZoë Ångström\t\n\n",
    "\u200bThe\u200bbridge \ufeffwas designed by Zoë Ångström\u200b.",
    "ﬁne ＦＵＬＬ width 𝒜 says: the bridge was designed by Zoë Ångström.",
]
#: Hard for offsets: several code points per character, zero width, right to left, ligatures, and parts of words.
CHARACTERS = "🙂👩\u200d\u0301\u030aéÅשלוםمر你好。ﬁＦ𝒜\t\n\r \u200b\ufeff\xadabc de.,-'[]"
FACT = "The secret code of the vault is 7391. "
FILLER = "The weather stayed calm and the boats were tied to the pier. "
CODE = "What is the secret code of the vault?"
LONG_WORDS = (
    "Pneumonoultramicroscopicsilicovolcanoconiosis, antidisestablishmentarianism and floccinaucinihilipilification"
)


def ask(pipeline: AnyPipeline, question: str, context: str, **parameters: Any) -> Any:
    """The result of one question."""
    request = QuestionAnsweringRequest.parse({"question": question, "context": context, **parameters})
    ((result,),) = pipeline.answer([request])
    return result


def answers_of(pipeline: AnyPipeline, question: str, context: str, **parameters: Any) -> list[AnswerSpan]:
    """The answers to one question, each checked against its position."""
    result = ask(pipeline, question, context, **parameters)
    assert not isinstance(result, RequestError), result
    answers: list[AnswerSpan] = result if isinstance(result, list) else [result]
    for answer in answers:
        assert answer.keys() == {"score", "start", "end", "answer"}
        assert 0 <= answer["start"] <= len(context)
        assert 0 <= answer["end"] <= len(context)
        assert context[answer["start"] : answer["end"]] == answer["answer"]
        assert answer["start"] <= answer["end"] or answer["score"] == 0
        assert answer["score"] >= 0
    return answers


@pytest.mark.parametrize(
    ("question", "answer"),
    [(WHO, "Ingrid Halvorsen"), ("When was the bridge opened?", "1964"), ("How often was it repaired?", "once")],
)
def test_the_answer_to_a_clear_question_is_the_right_one(questions: AnyPipeline, question: str, answer: str) -> None:
    (found,) = answers_of(questions, question, BRIDGE)
    assert answer in found["answer"]
    assert len(found["answer"]) <= len(answer) + 10


@pytest.mark.parametrize("align_to_words", [False, True])
@pytest.mark.parametrize("context", ODD_CONTEXTS)
def test_the_place_of_an_answer_is_counted_in_code_points(
    questions: AnyPipeline, context: str, align_to_words: bool
) -> None:
    best, *_ = answers_of(questions, WHO, context, top_k=5, align_to_words=align_to_words)
    assert "ngstr" in best["answer"]


@settings(max_examples=40, deadline=None)
@given(
    context=st.text(CHARACTERS, min_size=1, max_size=60),
    top_k=st.sampled_from([1, 5, 100]),
    align_to_words=st.booleans(),
    handle_impossible_answer=st.booleans(),
)
def test_whatever_the_context_is_an_answer_is_what_stands_at_its_place(
    questions: AnyPipeline, context: str, **parameters: Any
) -> None:
    assert 1 <= len(answers_of(questions, "What is it?", context, **parameters)) <= parameters["top_k"]


@settings(max_examples=15, deadline=None)
@given(context=st.text(CHARACTERS, min_size=50, max_size=400))
def test_whatever_a_context_of_several_windows_is_an_answer_is_what_stands_at_its_place(
    questions: AnyPipeline, context: str
) -> None:
    for align_to_words in (False, True):
        parameters = {"top_k": 20, "max_seq_len": 24, "doc_stride": 7, "align_to_words": align_to_words}
        assert answers_of(questions, "What is it?", context, **parameters)


def test_an_answer_may_be_the_first_or_the_last_that_a_context_says(questions: AnyPipeline) -> None:
    (first,) = answers_of(questions, "Who went to town yesterday?", "Bob went to town yesterday.")
    assert (first["start"], first["end"], first["answer"]) == (0, 3, "Bob")
    context = "The one who broke the window was Peter"
    (last,) = answers_of(questions, "Who broke the window?", context)
    assert (last["start"], last["end"], last["answer"]) == (len(context) - 5, len(context), "Peter")


@pytest.mark.parametrize("before", [0, 40, 80])
def test_an_answer_is_found_in_whichever_window_of_a_long_context_it_is(questions: AnyPipeline, before: int) -> None:
    context = FILLER * before + FACT + FILLER * (80 - before)
    (found,) = answers_of(questions, CODE, context)
    assert (found["answer"], found["start"]) == ("7391", context.index("7391"))
    assert found["score"] > 0.5


@pytest.mark.parametrize("characters", range(5))
def test_an_answer_is_found_wherever_the_windows_are_cut(questions: AnyPipeline, characters: int) -> None:
    context = FILLER * 2 + "so " * characters + FACT + FILLER * 3
    (found,) = answers_of(questions, CODE, context, max_seq_len=40, doc_stride=12)
    assert (found["answer"], found["start"]) == ("7391", context.index("7391"))


def test_one_answer_is_an_object_and_more_are_a_list_best_first(questions: AnyPipeline) -> None:
    best = ask(questions, WHO, BRIDGE)
    several = ask(questions, WHO, BRIDGE, top_k=4)
    assert isinstance(best, dict)
    assert isinstance(several, list)
    assert len(several) == 4
    # More answers are searched in more spans, and spans with the same words are one answer with the sum of the scores.
    assert {**several[0], "score": None} == {**best, "score": None}
    assert several[0]["score"] == pytest.approx(best["score"], abs=1e-3)
    assert [answer["score"] for answer in several] == sorted((answer["score"] for answer in several), reverse=True)
    assert len({answer["answer"].lower() for answer in several}) == 4


def test_a_longer_list_begins_with_the_shorter_one(questions: AnyPipeline) -> None:
    parameters = {"align_to_words": False}
    lists = [answers_of(questions, WHO, BRIDGE, top_k=top_k, **parameters) for top_k in (2, 5, 20)]
    assert lists[2][:5] == lists[1]
    assert lists[1][:2] == lists[0]


def test_the_same_words_in_any_case_are_one_answer_at_the_place_where_they_were_found_first(
    questions: AnyPipeline,
) -> None:
    context = "It was Peter. Later IT WAS PETER again, and then it was peter."
    found = answers_of(questions, "Who was it?", context, top_k=20, align_to_words=False)
    texts = [answer["answer"].lower() for answer in found]
    assert len(texts) == len(set(texts))
    (peter,) = (answer for answer in found if answer["answer"].lower() == "peter")
    assert context[peter["start"] : peter["end"]] == peter["answer"]
    assert len(found) < 20


def test_as_many_answers_as_asked_for_are_left_when_some_are_widened_to_the_same_words(questions: AnyPipeline) -> None:
    for top_k in (2, 5):
        assert len(answers_of(questions, "Which words?", LONG_WORDS, top_k=top_k)) == top_k


def test_more_answers_than_a_context_has_are_not_made_up(questions: AnyPipeline) -> None:
    found = answers_of(questions, "Who?", "Bob", top_k=100)
    assert [answer["answer"] for answer in found if answer["score"] > 0] == ["Bob"]
    assert len(found) <= 2


def test_no_answer_is_an_answer_where_the_request_says_so(questions: AnyPipeline) -> None:
    question = "Which king lived in Samarkand?"
    # As many as below: spans that are widened to the same words add up, and more of them are among more answers.
    without = answers_of(questions, question, BRIDGE, top_k=4)
    assert all(answer["answer"] for answer in without)
    found = answers_of(questions, question, BRIDGE, top_k=4, handle_impossible_answer=True)
    (empty,) = (answer for answer in found if not answer["answer"])
    assert (empty["start"], empty["end"]) == (0, 0)
    assert 0 < empty["score"] <= 1
    assert [answer for answer in found if answer["answer"]] == without[:3]
    assert ask(questions, question, BRIDGE, handle_impossible_answer=True) == empty
    assert ask(questions, WHO, BRIDGE, handle_impossible_answer=True)["answer"] == "Ingrid Halvorsen"


def test_no_answer_is_as_likely_as_in_the_window_where_it_is_least_likely(questions: AnyPipeline) -> None:
    parts = {"max_seq_len": 60, "doc_stride": 0, "max_answer_len": 1, "top_k": 100, "handle_impossible_answer": True}

    def null_score(context: str) -> float:
        return next(a["score"] for a in answers_of(questions, CODE, context, **parts) if not a["answer"])

    assert null_score(FACT + FILLER * 20) < 1e-3 < null_score(FILLER * 20)


def ends_of_words(context: str) -> set[int]:
    """Positions at which a word begins or ends; punctuation counts as words."""
    return {position for word in re.finditer(r"\w+|[^\w\s]", context) for position in word.span()}


def test_answers_are_widened_to_whole_words_unless_the_request_says_not_to(questions: AnyPipeline) -> None:
    whole, cut = (
        answers_of(questions, "Which words?", LONG_WORDS, top_k=20, align_to_words=align_to_words)
        for align_to_words in (True, False)
    )
    ends = ends_of_words(LONG_WORDS)
    assert all({answer["start"], answer["end"]} <= ends for answer in whole)
    assert not all({answer["start"], answer["end"]} <= ends for answer in cut)
    assert len(cut) == 20


@pytest.mark.parametrize("longest", [1, 2, 5, 15])
def test_an_answer_has_no_more_tokens_than_allowed(questions: AnyPipeline, longest: int) -> None:
    offsets = questions.tokenizer.encode(BRIDGE, add_special_tokens=False).offsets
    found = answers_of(questions, WHO, BRIDGE, top_k=100, align_to_words=False, max_answer_len=longest)
    counts = [
        sum(answer["start"] <= start and end <= answer["end"] for start, end in offsets)
        for answer in found
        if answer["score"] > 0
    ]
    assert max(counts) == longest


def test_how_long_a_question_may_be_has_no_effect(questions: AnyPipeline) -> None:
    assert ask(questions, WHO, BRIDGE, max_question_len=1) == ask(questions, WHO, BRIDGE)


@pytest.mark.parametrize("question", ["?", " ", "\u200b", "🙂", "who " * 300, "[CLS] [SEP]"])
def test_whatever_the_question_is_it_has_an_answer(questions: AnyPipeline, question: str) -> None:
    assert answers_of(questions, question, BRIDGE, top_k=3)


@pytest.mark.parametrize("top_k", [1, 5])
@pytest.mark.parametrize("align_to_words", [False, True])
@pytest.mark.parametrize(
    "context",
    [" ", "\t\r\n", "\u200b", "\xad", "\u0301", "\ufeff", ".", "!!! ...", "—", "🙂", "[CLS]", "[SEP] [CLS] [PAD]", "a"],
)
def test_a_context_of_next_to_nothing_has_an_answer_too(
    questions: AnyPipeline, context: str, align_to_words: bool, top_k: int
) -> None:
    for handle_impossible_answer in (False, True):
        parameters = {"align_to_words": align_to_words, "handle_impossible_answer": handle_impossible_answer}
        assert answers_of(questions, WHO, context, top_k=top_k, **parameters)


def test_a_context_without_a_token_has_no_answer_and_that_is_certain(questions: AnyPipeline) -> None:
    nothing = {"start": 0, "end": 0, "answer": ""}
    assert ask(questions, WHO, " \t") == {"score": 0.0, **nothing}
    assert ask(questions, WHO, " \t", handle_impossible_answer=True) == {"score": 1.0, **nothing}
