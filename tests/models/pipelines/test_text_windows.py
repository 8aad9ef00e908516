"""How a long text is split into windows, which ones are refused, and how their scores become one result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.pipelines.text_windows import WindowBudget, combine_scores, plan_text_windows, split_encoding
from models.pipelines.windows import Window, plan_windows
from producer.contract import MAX_SEQUENCES, ErrorCode, InvalidRequest, TextClassificationRequest
from tests.models.pipelines.test_pair_template import TEMPLATES, tokenizer_with

SCORES = arrays.arrays(np.float64, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-9, 9))
#: What a BERT reads beside the special tokens of a pair.
MAX_TOKENS = 509


def request(**parameters: Any) -> TextClassificationRequest:
    return TextClassificationRequest.parse({"inputs": "a", "truncation": "windows", **parameters})


def plan(text_tokens: int, other_tokens: int, max_tokens: int = MAX_TOKENS, **parameters: Any) -> list[Window]:
    return plan_text_windows(request(**parameters), text_tokens, other_tokens, max_tokens, other="inputs")


def refusal(text_tokens: int, other_tokens: int, **parameters: Any) -> tuple[ErrorCode, str | None, Any]:
    with pytest.raises(InvalidRequest) as caught:
        plan(text_tokens, other_tokens, **parameters)
    assert caught.value.message.startswith(f"{caught.value.field}: ")
    assert str(caught.value.limit) in caught.value.message
    return caught.value.code, caught.value.field, caught.value.limit


@given(st.data(), st.integers(0, 5000), st.integers(1, 600))
def test_every_token_is_in_a_window_and_every_window_is_read_whole_with_what_it_repeats(
    data: st.DataObject, text_tokens: int, max_tokens: int
) -> None:
    other_tokens = data.draw(st.integers(0, max_tokens - max(1, max_tokens // 4)))
    overlap = data.draw(st.none() | st.integers(0, (max_tokens - other_tokens) // 2))
    given_one = {} if overlap is None else {"doc_stride": overlap}

    windows = plan(text_tokens, other_tokens, max_tokens, **given_one)

    assert {token for window in windows for token in range(window.start, window.stop)} == set(range(text_tokens))
    assert all(len(window) + other_tokens <= max_tokens for window in windows)
    assert (len(windows) == 1) == (text_tokens + other_tokens <= max_tokens)
    # An overlap of at most half a window at most doubles what is read.
    assert sum(map(len, windows)) <= 2 * text_tokens


@pytest.mark.parametrize(
    ("cut", "windows"),
    [
        ((509, 0), [Window(0, 509)]),
        ((510, 0), [Window(0, 509), Window(381, 510)]),
        ((500, 9), [Window(0, 500)]),
        ((501, 9), [Window(0, 500), Window(372, 501)]),
        # Half of the 200 tokens that are left.
        ((300, 309), [Window(0, 200), Window(100, 300)]),
    ],
)
def test_windows_overlap_by_128_tokens_or_by_half_of_what_is_left(cut: tuple[int, int], windows: list[Window]) -> None:
    assert plan(*cut) == windows


def test_what_is_repeated_leaves_a_quarter_of_every_window_to_the_text() -> None:
    longest = MAX_TOKENS - MAX_TOKENS // 4
    assert len(plan(MAX_TOKENS // 4 + 1, longest)) == 2
    assert refusal(MAX_TOKENS // 4, longest + 1) == (ErrorCode.TOO_MANY_TOKENS, "inputs", longest)
    assert plan(MAX_TOKENS // 4 - 1, longest + 1) == [Window(0, MAX_TOKENS // 4 - 1)]


def test_an_overlap_of_more_than_half_a_window_is_an_error_where_there_are_windows() -> None:
    assert refusal(510, 9, doc_stride=251) == (ErrorCode.OUT_OF_RANGE, "doc_stride", 250)
    assert len(plan(510, 9, doc_stride=250)) == 2
    assert len(plan(500, 9, doc_stride=10**9)) == 1


@pytest.mark.parametrize("layout", TEMPLATES)
@settings(max_examples=40, deadline=None)
@given(
    text=st.lists(st.sampled_from(["red", "green", "blue"]), min_size=13, max_size=40),
    other=st.lists(st.sampled_from(["a", "b"]), max_size=12),
    room=st.integers(4, 12),
    is_first_longer=st.booleans(),
    data=st.data(),
)
def test_each_window_is_what_the_tokenizer_makes_of_its_words(
    layout: str, text: list[str], other: list[str], room: int, is_first_longer: bool, data: st.DataObject
) -> None:
    tokenizer = tokenizer_with(TEMPLATES[layout][0])
    overlap = data.draw(st.integers(0, room // 2))

    def encode(words: list[str]) -> Any:
        parts = [" ".join(words), " ".join(other)] if other else [" ".join(words)]
        return tokenizer.encode(*(parts if is_first_longer else reversed(parts)))

    max_length = len(encode(text[:room]).ids)
    ours = split_encoding(encode(text), request(doc_stride=overlap), max_length)

    windows = [encode(text[window.start : window.stop]) for window in plan_windows(len(text), room, overlap)]
    assert ours == [(window.ids, window.type_ids) for window in windows]
    assert len(ours) > 1


def test_of_two_texts_of_equal_length_the_first_is_split() -> None:
    tokenizer = tokenizer_with(TEMPLATES["bert"][0])
    sequences = split_encoding(tokenizer.encode("red " * 6, "a " * 6), request(doc_stride=1), 12)
    assert [len(sequence.ids) for sequence in sequences] == [12, 12, 11]
    assert {sum(sequence.type_ids) for sequence in sequences} == {7}


def test_a_request_has_a_budget_of_windows_and_its_short_texts_are_never_refused() -> None:
    budget = WindowBudget(texts=4, sequences_per_window=100)
    budget.take(10)
    with pytest.raises(InvalidRequest) as caught:
        budget.take(9)
    error = caught.value
    assert (error.code, error.field, error.limit) == (ErrorCode.TOO_MANY, "inputs", MAX_SEQUENCES)
    budget.take(8)
    budget.take(1)
    with pytest.raises(InvalidRequest):
        budget.take(2)


@given(SCORES.filter(lambda scores: len(scores) == 1), st.sampled_from(["mean", "max"]), st.booleans())
def test_one_window_keeps_its_scores_to_the_last_bit(scores: Any, how: Any, competing: bool) -> None:
    assert combine_scores(scores, how, competing=competing).tobytes() == scores.tobytes()


@given(SCORES)
def test_the_best_label_of_the_most_certain_window_has_the_highest_score_of_all(scores: Any) -> None:
    for competing in (True, False):
        assert combine_scores(scores, "max", competing=competing).max() == scores.max()
    assert combine_scores(scores, "max", competing=True) in scores


@given(SCORES, st.booleans())
def test_a_mean_lies_between_the_scores_of_the_windows(scores: Any, competing: bool) -> None:
    mean = combine_scores(scores, "mean", competing=competing)
    assert np.all(mean >= scores.min(axis=0) - 1e-12)
    assert np.all(mean <= scores.max(axis=0) + 1e-12)
    assert mean == pytest.approx(sum(scores) / len(scores))


def test_labels_that_compete_are_those_of_one_window_and_others_are_each_those_of_their_best() -> None:
    scores = np.array([[0.6, 0.4, 0.0], [0.1, 0.0, 0.9], [0.2, 0.7, 0.1]])
    assert combine_scores(scores, "max", competing=True).tolist() == [0.1, 0.0, 0.9]
    assert combine_scores(scores, "max", competing=False).tolist() == [0.6, 0.7, 0.9]
    assert combine_scores(scores, "mean", competing=True) == pytest.approx([0.3, 1.1 / 3, 1 / 3])
