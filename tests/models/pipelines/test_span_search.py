"""The best spans of a window are the ones that ``transformers`` finds in the whole square."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.pipelines.span_search import Spans, find_spans

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Span = tuple[int, int, float]


class Window(NamedTuple):
    """The arguments of one search."""

    start: Floats
    end: Floats
    answerable: Bools
    wanted: int
    max_length: int


def square(window: Window) -> tuple[Floats, float]:
    """The score of every span by first and last token, 0 for what is not a span; and the score of "no answer"."""
    start, end = (np.where(window.answerable, logits, np.float32(-10000)) for logits in (window.start, window.end))
    start, end = (np.exp(logits - logits.max()) for logits in (start, end))
    start, end = start / start.sum(), end / end.sum()
    null_score = float(start[0] * end[0])
    start[0] = end[0] = 0
    scores: Floats = np.tril(np.triu(np.outer(start, end)), window.max_length - 1)
    return scores, null_score


def reference(window: Window) -> list[Span]:
    """``decode_spans`` of transformers 4.57, except that it also works for a count of exactly all spans."""
    scores, _ = square(window)
    flat = scores.ravel()
    if window.wanted == 1:
        best = np.array([np.argmax(flat)])
    elif len(flat) <= window.wanted:
        best = np.argsort(-flat)
    else:
        best = np.argpartition(-flat, window.wanted)[: window.wanted]
        best = best[np.argsort(-flat[best])]
    starts, ends = np.unravel_index(best, scores.shape)
    kept = window.answerable[starts] & window.answerable[ends]
    return [(int(s), int(e), float(scores[s, e])) for s, e in zip(starts[kept], ends[kept], strict=True)]


def listed(spans: Spans) -> list[Span]:
    return list(zip(spans.starts.tolist(), spans.ends.tolist(), spans.scores.tolist(), strict=True))


def arrays(values: st.SearchStrategy[float], tokens: int) -> st.SearchStrategy[Floats]:
    return st.lists(values, min_size=tokens, max_size=tokens).map(lambda row: np.array(row, dtype=np.float32))


@st.composite
def windows(draw: st.DrawFn, *, values: st.SearchStrategy[float]) -> Window:
    """Any mask, and any number of requested spans."""
    tokens = draw(st.integers(1, 24))
    answerable = np.array(draw(st.lists(st.booleans(), min_size=tokens, max_size=tokens)))
    answerable[0] = True
    length = draw(st.one_of(st.integers(1, 30), st.just(10**6)))
    start, end = draw(arrays(values, tokens)), draw(arrays(values, tokens))
    return Window(start, end, answerable, draw(st.integers(1, 600)), length)


def window_of(tokens: int, **fields: Any) -> Window:
    """A window whose tokens are all answerable and have different logits."""
    rng = np.random.default_rng(3)
    start, end = rng.normal(0, 2, (2, tokens)).astype(np.float32)
    known = {"start": start, "end": end, "answerable": np.ones(tokens, np.bool_), "wanted": 5, "max_length": 15}
    return Window(**{**known, **fields})


LOGITS = st.floats(-60, 60, width=32)


@settings(max_examples=300, deadline=None)
@given(windows(values=LOGITS))
def test_the_scores_are_those_of_the_square_and_each_is_that_of_its_span(window: Window) -> None:
    ours, (scores, null_score) = listed(find_spans(*window)), square(window)
    assert [score for *_, score in ours] == [score for *_, score in reference(window)]
    assert [score for *_, score in ours] == [scores[start, end] for start, end, _ in ours]
    assert find_spans(*window).null_score == null_score


@settings(max_examples=300, deadline=None)
@given(windows(values=LOGITS))
def test_a_span_whose_score_no_other_has_is_at_the_place_where_the_square_has_it(window: Window) -> None:
    scores, _ = square(window)
    for ours, theirs in zip(listed(find_spans(*window)), reference(window), strict=True):
        assert ours == theirs or np.count_nonzero(scores == theirs[2]) > 1


@settings(max_examples=300, deadline=None)
@given(windows(values=st.sampled_from([-1.0, 0.0, 1.0])))
def test_spans_are_answerable_different_in_order_and_no_longer_than_allowed_also_where_scores_are_equal(
    window: Window,
) -> None:
    ours = listed(find_spans(*window))
    assert len({(start, end) for start, end, _ in ours}) == len(ours) <= window.wanted
    assert sorted((score for *_, score in ours), reverse=True) == [score for *_, score in ours]
    for start, end, score in ours:
        assert window.answerable[start]
        assert window.answerable[end]
        assert score == 0 or (0 < start <= end < start + window.max_length)


@settings(max_examples=100, deadline=None)
@given(windows(values=st.sampled_from([-1.0, 0.0, 1.0])))
def test_of_equal_scores_the_one_best_span_is_the_one_that_the_square_has_first(window: Window) -> None:
    one = window._replace(wanted=1)
    assert listed(find_spans(*one)) == reference(one)


@settings(max_examples=100, deadline=None)
@given(windows(values=st.floats(-300, 300, width=32)))
def test_where_fewer_spans_have_a_score_than_are_asked_for_the_rest_is_that_of_the_square(window: Window) -> None:
    everything = window._replace(wanted=window.start.size**2)
    assert listed(find_spans(*everything)) == reference(everything)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("max_length", [1, 10**6])
def test_one_token_is_the_place_of_no_answer_and_that_is_certain(count: int, max_length: int) -> None:
    spans = find_spans(*window_of(1, wanted=count, max_length=max_length))
    assert listed(spans) == [(0, 0, 0.0)]
    assert spans.null_score == 1.0


def test_an_answer_may_be_as_long_as_the_window_and_no_limit_makes_it_longer() -> None:
    start, end = np.full((2, 500), -5, np.float32)
    start[1] = end[-1] = 9
    for max_length in (499, 500, 10**6):
        (best, *_) = listed(find_spans(*window_of(500, start=start, end=end, max_length=max_length)))
        assert best[:2] == (1, 499)
    (best, *_) = listed(find_spans(*window_of(500, start=start, end=end, max_length=498)))
    assert best[:2] != (1, 499)


def test_the_score_of_no_answer_is_that_of_the_first_token_among_the_answerable() -> None:
    answerable = np.array([True, False, True, True])
    logits = np.array([1.0, 50.0, 0.0, 0.0], dtype=np.float32)
    spans = find_spans(*window_of(4, start=logits, end=logits, answerable=answerable))
    share = np.e / (np.e + 2)
    assert spans.null_score == pytest.approx(share**2)
    assert all(start in {2, 3} and end in {2, 3} for start, end, score in listed(spans) if score)


def test_a_token_that_cannot_be_in_an_answer_is_in_none_however_high_its_logits_are() -> None:
    answerable = np.array([True, False, True, False, True])
    logits = np.array([0, 90, 0, 90, 0], dtype=np.float32)
    spans = find_spans(*window_of(5, start=logits, end=logits, answerable=answerable, wanted=3))
    assert {(start, end) for start, end, _ in listed(spans)} == {(2, 2), (2, 4), (4, 4)}
    assert spans.scores == pytest.approx(1 / 9)


def test_spans_do_not_change_the_logits() -> None:
    window = window_of(30)
    start, end = window.start.copy(), window.end.copy()
    find_spans(*window)
    assert (window.start == start).all()
    assert (window.end == end).all()
