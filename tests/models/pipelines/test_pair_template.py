"""Parts that were tokenized separately are joined as the tokenizer joins them, whatever its special tokens are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import BertProcessing, RobertaProcessing, TemplateProcessing

from models.pipelines.pair_template import PairTemplate
from models.store import TOKENIZER_NAME, StoredModel

WORDS = ["<s>", "</s>", "<unk>", "a", "b", "red", "green", "blue"]
VOCABULARY = {word: index for index, word in enumerate(WORDS)}
SPECIAL = [("<s>", 0), ("</s>", 1)]
#: Post-processor; number of special tokens, first token, start of the second part after a first one of three tokens.
TEMPLATES = {
    "bert": (BertProcessing(("</s>", 1), ("<s>", 0)), 3, 0, 5),
    "roberta": (RobertaProcessing(("</s>", 1), ("<s>", 0)), 4, 0, 6),
    "roberta as a template": (
        TemplateProcessing(single="<s> $A </s>", pair="<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0", special_tokens=SPECIAL),
        4,
        0,
        6,
    ),
    "nothing before": (
        TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=SPECIAL),
        2,
        None,
        4,
    ),
    "nothing between": (TemplateProcessing(single="<s> $A", pair="<s> $A $B:1", special_tokens=SPECIAL), 1, 0, 4),
    "types of their own": (
        TemplateProcessing(single="<s> $A", pair="<s>:2 $A:3 </s>:4 <s>:5 $B:6 </s>:7", special_tokens=SPECIAL),
        4,
        0,
        6,
    ),
    "none": (None, 0, None, 3),
}
PARTS = st.lists(st.sampled_from([*WORDS, "unknown"]), max_size=12).map(" ".join)


def tokenizer_with(processor: Any) -> Any:
    """A tokenizer that splits at spaces and has the special tokens of the processor."""
    tokenizer = Tokenizer(WordLevel(VOCABULARY, unk_token="<unk>"))  # noqa: S106 - a token of another kind
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    if processor is not None:
        tokenizer.post_processor = processor
    return tokenizer


def assert_joined_as_by_the_tokenizer(tokenizer: Any, first: str, second: str) -> None:
    pairs = PairTemplate(tokenizer)
    parts = [tokenizer.encode(part, add_special_tokens=False).ids for part in (first, second)]
    wanted = tokenizer.encode(first, second)
    joined = pairs.join(*parts)
    assert (joined.ids, joined.type_ids) == (wanted.ids, wanted.type_ids)
    assert len(joined.ids) == sum(map(len, parts)) + pairs.special_tokens
    starts = pairs.second_starts(len(parts[0]))
    assert joined.ids[starts : starts + len(parts[1])] == parts[1]


@settings(max_examples=50, deadline=None)
@given(first=st.text(max_size=30), second=st.text(max_size=30))
def test_any_two_texts_are_joined_as_the_bundled_tokenizer_joins_them(qa: StoredModel, first: str, second: str) -> None:
    assert_joined_as_by_the_tokenizer(Tokenizer.from_file(str(qa.directory / TOKENIZER_NAME)), first, second)


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=30, deadline=None)
@given(first=PARTS, second=PARTS)
def test_any_two_texts_are_joined_as_other_post_processors_join_them(name: str, first: str, second: str) -> None:
    assert_joined_as_by_the_tokenizer(tokenizer_with(TEMPLATES[name][0]), first, second)


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_special_tokens_of_a_pair_are_known_by_number_and_place(name: str) -> None:
    processor, special_tokens, first_token, second_starts = TEMPLATES[name]
    pairs = PairTemplate(tokenizer_with(processor))
    assert pairs.special_tokens == special_tokens
    assert pairs.first_token == first_token
    assert pairs.second_starts(3) == second_starts


def test_a_pair_of_the_bundled_tokenizer_begins_with_cls_and_has_three_special_tokens(qa: StoredModel) -> None:
    tokenizer = Tokenizer.from_file(str(qa.directory / TOKENIZER_NAME))
    pairs = PairTemplate(tokenizer)
    assert (pairs.special_tokens, pairs.first_token) == (3, tokenizer.token_to_id("[CLS]"))
    assert [pairs.second_starts(length) for length in (0, 1, 10)] == [2, 3, 12]


def test_both_parts_may_be_empty() -> None:
    joined = PairTemplate(tokenizer_with(TEMPLATES["bert"][0])).join([], [])
    assert (joined.ids, joined.type_ids) == ([0, 1, 1], [0, 0, 1])
