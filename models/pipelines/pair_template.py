"""Joining two parts that were tokenized separately, so that a part of many pairs is tokenized only once."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from models.engine.engine import TokenSequence

__all__ = ["PairTemplate"]


class PairTemplate:
    """The special tokens around and between two parts, learnt from a pair that the tokenizer joined.

    Args:
        tokenizer: without truncation or padding. Its special tokens must not depend on the text, which is true of
            every post-processor of the ``tokenizers`` library.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        pair = tokenizer.encode("a", "b")
        parts = pair.sequence_ids
        starts = parts.index(0), parts.index(1)
        ends = starts[0] + parts.count(0), starts[1] + parts.count(1)
        ids, types = pair.ids, pair.type_ids
        self._before = ids[: starts[0]], types[: starts[0]]
        self._between = ids[ends[0] : starts[1]], types[ends[0] : starts[1]]
        self._after = ids[ends[1] :], types[ends[1] :]
        self._types = types[starts[0]], types[starts[1]]

    @property
    def special_tokens(self) -> int:
        """Number of special tokens in a pair."""
        return len(self._before[0]) + len(self._between[0]) + len(self._after[0])

    @property
    def first_token(self) -> int | None:
        """The special token at the start of every pair, such as BERT's ``[CLS]``; None if there is none."""
        return self._before[0][0] if self._before[0] else None

    def second_starts(self, first_length: int) -> int:
        """Position of the second part's first token, if the first part has this many tokens."""
        return len(self._before[0]) + first_length + len(self._between[0])

    def join(self, first: Sequence[int], second: Sequence[int]) -> TokenSequence:
        """Join the token ids of two parts into one sequence, special tokens included."""
        (before, between, after), types = (self._before, self._between, self._after), self._types
        return TokenSequence(
            [*before[0], *first, *between[0], *second, *after[0]],
            [*before[1], *[types[0]] * len(first), *between[1], *[types[1]] * len(second), *after[1]],
        )
