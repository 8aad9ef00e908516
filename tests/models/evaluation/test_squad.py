"""Exact match and F1 by SQuAD's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.squad import exact_match, f1

WORDS = st.lists(st.sampled_from(["the", "An", "red", "fox", "Fox!", "jumped", "1,964", "-", "a"]), max_size=6).map(
    " ".join
)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("The Eiffel Tower", "eiffel tower"),
        ("an apple a day", "Apple day"),
        ("Ingrid Halvorsen,", "Ingrid Halvorsen"),
        ("“1964.”"[1:-1], "1964"),
        ("1,964", "1964"),
        ("don't", "dont"),
        ("well-known", "wellknown"),
        ("  two \t words\n", "two words"),
        ("ÅSE", "åse"),
        ("the", "an"),
        ("...", ""),
    ],
)
def test_case_articles_punctuation_and_spaces_do_not_count(answer: str, reference: str) -> None:
    assert exact_match(answer, [reference]) == 1.0
    assert f1(answer, [reference]) == 1.0


@pytest.mark.parametrize(
    ("answer", "reference"),
    [("theory", "ory"), ("another", "other"), ("banana", "banan"), ("the anthem", "them"), ("Anna", "nna")],
)
def test_an_article_within_a_word_stays(answer: str, reference: str) -> None:
    assert exact_match(answer, [reference]) == f1(answer, [reference]) == 0.0


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [
        ("red fox", "red fox", 1.0),
        ("fox red", "red fox", 1.0),
        ("red", "red fox", 2 / 3),
        ("the red fox jumped", "red fox", 4 / 5),
        ("red red", "red fox", 1 / 2),
        ("red red", "red red fox", 4 / 5),
        ("blue", "red fox", 0.0),
        ("", "red fox", 0.0),
        ("red fox", "", 0.0),
        ("the", "red fox", 0.0),
        ("", "", 1.0),
    ],
)
def test_f1_is_the_share_of_words_in_common_each_counted_as_often_as_both_have_it(
    answer: str, reference: str, value: float
) -> None:
    assert f1(answer, [reference]) == pytest.approx(value)


def test_the_order_of_words_matters_for_an_exact_match() -> None:
    assert exact_match("fox red", ["red fox"]) == 0.0


@pytest.mark.parametrize(
    ("answer", "match", "overlap"), [("red fox", 1.0, 1.0), ("red", 0.0, 2 / 3), ("a", 1.0, 1.0), ("blue", 0.0, 0.0)]
)
def test_of_several_references_the_best_counts(answer: str, match: float, overlap: float) -> None:
    references = ["the quick brown thing", "red fox", ""]
    assert exact_match(answer, references) == match
    assert f1(answer, references) == pytest.approx(overlap)


def test_without_a_reference_nothing_is_right() -> None:
    assert exact_match("", []) == f1("", []) == 0.0


@given(WORDS, WORDS)
def test_an_exact_match_has_all_of_f1_and_f1_is_a_share_whichever_is_the_reference(answer: str, reference: str) -> None:
    value = f1(answer, [reference])
    assert 0.0 <= value <= 1.0
    assert value == f1(reference, [answer])
    assert value == 1.0 or exact_match(answer, [reference]) == 0.0
