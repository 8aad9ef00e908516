"""How a tokenizer joins two parts that were tokenized apart, so that a part of many pairs is tokenized once."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from models.engine.engine import TokenSequence

__all__ = ["PairTemplate"]


class PairTemplate:
    """The special tokens around and between two parts, learnt from one pair that the tokenizer joined.

    Args:
        tokenizer: without truncation or padding. Its special tokens must not depend on the text, as is so for every
            post-processor of the ``tokenizers`` library.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        joined = tokenizer.encode("a", "b")
        parts = joined.sequence_ids
        starts = parts.index(0), parts.index(1)
        ends = starts[0] + parts.count(0), starts[1] + parts.count(1)
        ids, types = joined.ids, joined.type_ids
        self._before = ids[: starts[0]], types[: starts[0]]
        self._between = ids[ends[0] : starts[1]], types[ends[0] : starts[1]]
        self._after = ids[ends[1] :], types[ends[1] :]
        self._types = types[starts[0]], types[starts[1]]

    @property
    def special_tokens(self) -> int:
        """How many tokens a pair has beside those of its parts."""
        return len(self._before[0]) + len(self._between[0]) + len(self._after[0])

    @property
    def first_token(self) -> int | None:
        """The token that every pair begins with, BERT's ``[CLS]``; None if there is none."""
        return self._before[0][0] if self._before[0] else None

    def second_starts(self, first_length: int) -> int:
        """Position of the second part's first token, behind a first part of this many tokens."""
        return len(self._before[0]) + first_length + len(self._between[0])

    def join(self, first: Sequence[int], second: Sequence[int]) -> TokenSequence:
        """One sequence of two parts."""
        (before, between, after), types = (self._before, self._between, self._after), self._types
        return TokenSequence(
            [*before[0], *first, *between[0], *second, *after[0]],
            [*before[1], *[types[0]] * len(first), *between[1], *[types[1]] * len(second), *after[1]],
        )
