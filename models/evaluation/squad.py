"""Exact match and F1 by SQuAD's rules (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

__all__ = ["exact_match", "f1"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1.0 if the answer equals one of the references after normalization, otherwise 0.0."""
    return float(any(_words(answer) == _words(reference) for reference in references))


def f1(answer: str, references: Sequence[str]) -> float:
    """The largest overlap with a reference in words: the harmonic mean of precision and recall, from 0 to 1."""
    return max((_overlap(_words(answer), _words(reference)) for reference in references), default=0.0)


def _words(text: str) -> list[str]:
    """The normalized words: lower case, without punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _overlap(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    common = (Counter(answer) & Counter(reference)).total()
    return 2 * common / (len(answer) + len(reference))
