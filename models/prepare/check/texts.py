"""Texts that have a wanted number of tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from models.evaluation.rows import read_rows
from models.prepare.quantize.calibration import built_in_rows
from producer.contract import MAX_TEXT_CHARACTERS, TaskName

__all__ = ["TextMaker"]

#: Steps that a text is from the one before it in the words that it is made of.
_STRIDE = 7
_SHORTEST_TEXT = "a"


class TextMaker:
    """Makes texts of English words; no two are alike unless they are short.

    Args:
        count_tokens: how many tokens a text has, special tokens included, as the published tokenizer counts.
    """

    def __init__(self, count_tokens: Callable[[str], int]) -> None:
        self._count_tokens = count_tokens
        self._made = 0

    @cached_property
    def shortest_tokens(self) -> int:
        """The fewest tokens that a text made here can have."""
        return self._count_tokens(_SHORTEST_TEXT)

    def of_tokens(self, tokens: int) -> str:
        """A text of this many tokens, or of the nearest number that words can give.

        A number under :attr:`shortest_tokens` gives the shortest text, and no text is longer than requests may be.
        """
        words: list[str] = []
        start = self._made * _STRIDE
        self._made += 1
        # Grown in steps that halve, since a word may be one token or several.
        step = max(1, tokens)
        while step:
            longer = [*words, *self._words_from(start + len(words), step)]
            if self._fits(longer, tokens):
                words = longer
            else:
                step //= 2
        while self._fits([*words, _SHORTEST_TEXT], tokens):
            words.append(_SHORTEST_TEXT)
        return " ".join(words) or _SHORTEST_TEXT

    def _fits(self, words: list[str], tokens: int) -> bool:
        text = " ".join(words)
        return len(text) <= MAX_TEXT_CHARACTERS and self._count_tokens(text) <= tokens

    def _words_from(self, start: int, count: int) -> list[str]:
        return [self._pool[(start + index) % len(self._pool)] for index in range(count)]

    @cached_property
    def _pool(self) -> list[str]:
        rows = read_rows(built_in_rows(TaskName.TEXT_CLASSIFICATION), {"text": str})
        return [word for row in rows for word in row["text"].split()]
