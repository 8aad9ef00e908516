"""The best answer spans of one window, as ``transformers`` 4.57 finds them, on a band instead of the whole square.

The reference is ``decode_spans`` of its question-answering pipeline, after https://github.com/facebookresearch/DrQA.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Spans", "find_spans"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

#: Logit of a token that cannot be part of an answer; its probability is 0 in float32.
_MASKED = np.float32(-10000.0)


@dataclass(frozen=True)
class Spans:
    """Spans of one window, best first.

    Attributes:
        starts: index of each span's first token, of shape (spans,).
        ends: index of its last token, of shape (spans,).
        scores: product of the probabilities of both, of shape (spans,).
        null_score: score of "no answer in this window", which is the span of the window's first token.
    """

    starts: Ints
    ends: Ints
    scores: Floats
    null_score: float


def find_spans(
    start_logits: Floats, end_logits: Floats, answerable: npt.NDArray[np.bool_], count: int, max_length: int
) -> Spans:
    """Find the ``count`` best spans of at most ``max_length`` tokens.

    Args:
        start_logits: logit of each token as the start of an answer, of shape (tokens,).
        end_logits: logit of each token as the end of an answer, of shape (tokens,).
        answerable: which tokens can be part of an answer, of shape (tokens,). The first token is one of them, since it
            stands for "no answer".
        count: how many spans to find; fewer are returned if there are fewer.
        max_length: most tokens of a span.
    """
    start, end = _probabilities(start_logits, answerable), _probabilities(end_logits, answerable)
    null_score = float(start[0] * end[0])
    start[0] = end[0] = 0.0
    tokens, width = len(start), min(max_length, len(start))
    reachable = np.lib.stride_tricks.sliding_window_view(np.append(end, np.zeros(width - 1, np.float32)), width)
    band = (start[:, None] * reachable).ravel()
    if np.count_nonzero(band) >= count:
        best = _largest(band, count)
        starts = best // width
        ends = starts + best % width
        scores = band[best]
    else:
        # Fewer spans than requested: transformers adds spans of score 0, and which ones depends on its square.
        square = np.tril(np.triu(np.outer(start, end)), width - 1).ravel()
        best = _largest(square, count)
        starts, ends = np.divmod(best, tokens)
        scores = square[best]
    kept = answerable[starts] & answerable[ends]
    return Spans(starts[kept], ends[kept], scores[kept], null_score)


def _probabilities(logits: Floats, answerable: npt.NDArray[np.bool_]) -> Floats:
    masked = np.where(answerable, logits, _MASKED)
    powers = np.exp(masked - masked.max())
    probabilities: Floats = powers / powers.sum()
    return probabilities


def _largest(values: Floats, count: int) -> Ints:
    """Indices of the largest values, largest first, by the steps of the reference so that ties are broken alike."""
    if count == 1:
        return np.array([np.argmax(values)])
    if len(values) <= count:
        return np.argsort(-values)
    chosen = np.argpartition(-values, count)[:count]
    return chosen[np.argsort(-values[chosen])]
