"""A long context is split into the same windows as by the ``tokenizers`` library."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.pipelines.base import AnyPipeline
from models.pipelines.pair_template import PairTemplate
from models.pipelines.windows import Window, plan_windows
from models.store import TOKENIZER_NAME, StoredModel

WORDS = ["the", "unbelievable", "harbour", "Åse", "tokenization", "3.14", "—", "北京", "🙂", "don't", "a"]
CONTEXTS = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)


@st.composite
def cuts(draw: st.DrawFn, tokens: st.SearchStrategy[int]) -> tuple[int, int, int]:
    """Tokens of a context, most tokens of a window, and an overlap that is less."""
    max_tokens = draw(st.integers(1, 600))
    return draw(tokens), max_tokens, draw(st.integers(0, max_tokens - 1))


@pytest.fixture(scope="module")
def tokenizer(qa: StoredModel) -> Any:
    """A tokenizer for this module alone, since truncation is one of its settings."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(qa.directory / TOKENIZER_NAME))


@given(cuts(st.integers(0, 3000)))
def test_the_windows_begin_with_the_first_token_and_end_with_the_last(cut: tuple[int, int, int]) -> None:
    windows = plan_windows(*cut)
    assert windows[0].start == 0
    assert windows[-1].stop == cut[0]


@given(cuts(st.integers(1, 3000)))
def test_every_token_is_in_a_window_and_no_window_is_empty(cut: tuple[int, int, int]) -> None:
    windows = plan_windows(*cut)
    assert {token for window in windows for token in range(window.start, window.stop)} == set(range(cut[0]))
    assert all(len(window) > 0 for window in windows)


@given(cuts(st.integers(0, 3000)))
def test_all_windows_but_the_last_are_full_and_the_last_is_no_longer(cut: tuple[int, int, int]) -> None:
    *full, last = plan_windows(*cut)
    assert all(len(window) == cut[1] for window in full)
    assert len(last) <= cut[1]


@given(cuts(st.integers(0, 3000)))
def test_neighbours_share_as_many_tokens_as_was_asked_for_and_the_last_adds_some(cut: tuple[int, int, int]) -> None:
    for window, following in pairwise(plan_windows(*cut)):
        assert window.stop - following.start == cut[2]
        assert following.stop > window.stop


@pytest.mark.parametrize(
    ("cut", "windows"),
    [
        ((0, 5, 2), [Window(0, 0)]),
        ((1, 1, 0), [Window(0, 1)]),
        ((5, 5, 4), [Window(0, 5)]),
        ((6, 5, 4), [Window(0, 5), Window(1, 6)]),
        ((6, 5, 0), [Window(0, 5), Window(5, 6)]),
        ((10, 5, 0), [Window(0, 5), Window(5, 10)]),
        ((10, 4, 2), [Window(0, 4), Window(2, 6), Window(4, 8), Window(6, 10)]),
    ],
)
def test_windows_of_small_contexts(cut: tuple[int, int, int], windows: list[Window]) -> None:
    assert plan_windows(*cut) == windows


@settings(deadline=None)
@given(CONTEXTS, cuts(st.just(0)))
def test_a_context_is_cut_as_the_tokenizer_itself_cuts_it(
    tokenizer: Any, context: str, cut: tuple[int, int, int]
) -> None:
    _, max_tokens, overlap = cut
    tokenizer.no_truncation()
    ids = tokenizer.encode(context, add_special_tokens=False).ids
    tokenizer.enable_truncation(max_tokens + 2, stride=overlap)
    first = tokenizer.encode(context)
    theirs = [encoding.ids[1:-1] for encoding in (first, *first.overflowing)]
    assert [ids[window.start : window.stop] for window in plan_windows(len(ids), max_tokens, overlap)] == theirs


@settings(deadline=None)
@given(context=CONTEXTS, max_tokens=st.integers(1, 80), data=st.data())
def test_a_question_with_each_window_is_what_the_tokenizer_makes_when_it_cuts_the_context_alone(
    tokenizer: Any, questions: AnyPipeline, context: str, max_tokens: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, max_tokens - 1))
    tokenizer.no_truncation()
    question, whole = (tokenizer.encode(text, add_special_tokens=False).ids for text in ("What is it?", context))
    pairs = PairTemplate(questions.tokenizer)
    longest = len(question) + pairs.special_tokens + max_tokens
    tokenizer.enable_truncation(longest, stride=overlap, strategy="only_second")
    first = tokenizer.encode("What is it?", context)
    windows = plan_windows(len(whole), max_tokens, overlap)
    ours = [pairs.join(question, whole[window.start : window.stop]) for window in windows]
    assert ours == [(encoding.ids, encoding.type_ids) for encoding in (first, *first.overflowing)]
