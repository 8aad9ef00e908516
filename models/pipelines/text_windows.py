"""A text that a classifier cannot read at once: its windows, and one result from their scores."""

from __future__ import annotations

from tokenizers import Encoding

from models.engine.engine import TokenSequence
from models.pipelines.classification_head import Scores
from models.pipelines.windows import Window, plan_windows
from producer.contract import MAX_SEQUENCES, ErrorCode, InvalidRequest
from producer.contract.requests.long_text import CombineWindows, LongTextRequest

__all__ = ["WindowBudget", "combine_scores", "plan_text_windows", "split_encoding", "window_length"]

#: What every window repeats leaves at least this share of it to the text, as a divisor. With less, a window says
#: little, and a text would need very many.
_MIN_TEXT_SHARE = 4


class WindowBudget:
    """Counts the windows of a request's texts. Its texts that need only one are always answered.

    Args:
        texts: number of texts of the request.
        sequences_per_window: how often the model reads each window.
    """

    def __init__(self, texts: int, sequences_per_window: int = 1) -> None:
        self._left = MAX_SEQUENCES // sequences_per_window - texts

    def take(self, windows: int) -> None:
        """Count the windows of a text.

        Raises:
            InvalidRequest: the request would need more sequences than :data:`MAX_SEQUENCES`.
        """
        if windows - 1 > self._left:
            raise InvalidRequest.of(
                ErrorCode.TOO_MANY,
                f"inputs: the text is split into {windows} windows; all windows of a request, times its labels in "
                f"zero-shot classification, may be {MAX_SEQUENCES}",
                field="inputs",
                limit=MAX_SEQUENCES,
            )
        self._left -= windows - 1


def window_length(request: LongTextRequest, tokens: int, max_length: int) -> int:
    """Longest sequence that a request wants the model to read of a text, in tokens.

    Args:
        request: says whether and how a long text is split.
        tokens: length of the text with all that is beside it.
        max_length: longest sequence that the model reads.

    Raises:
        InvalidRequest: the text needs windows, and they would be longer than the model reads.
    """
    if request.truncation != "windows" or request.max_seq_len is None:
        return max_length
    if request.max_seq_len > max_length and tokens > max_length:
        raise InvalidRequest.of(
            ErrorCode.OUT_OF_RANGE,
            f"max_seq_len: is more than the model reads; the limit is {max_length}",
            field="max_seq_len",
            limit=max_length,
        )
    return min(request.max_seq_len, max_length)


def plan_text_windows(
    request: LongTextRequest, text_tokens: int, other_tokens: int, max_tokens: int, *, other: str
) -> list[Window]:
    """Split a text into the windows that its request asks for.

    Args:
        request: says how the windows overlap.
        text_tokens: length of the text.
        other_tokens: length of what every window repeats: the longest hypothesis, or the other text of a pair.
        max_tokens: most tokens that the model reads, special tokens not counted.
        other: the parameter that holds what is repeated.

    Raises:
        InvalidRequest: what is repeated leaves too little room for the text, or the overlap is too large.
    """
    max_text_tokens = max_tokens - other_tokens
    if text_tokens <= max_text_tokens:
        return [Window(0, text_tokens)]
    min_text_tokens = max(1, max_tokens // _MIN_TEXT_SHARE)
    if max_text_tokens < min_text_tokens:
        limit = max_tokens - min_text_tokens
        raise InvalidRequest.of(
            ErrorCode.TOO_MANY_TOKENS,
            f"{other}: every window of a long text would repeat {other_tokens} tokens beside the text; "
            f"the limit is {limit}",
            field=other,
            limit=limit,
        )
    overlap = request.window_overlap(max_text_tokens)
    max_overlap = max_text_tokens // 2
    if overlap > max_overlap:
        raise InvalidRequest.of(
            ErrorCode.OUT_OF_RANGE,
            f"doc_stride: must be at most half of what a window has for the text; the limit is {max_overlap} tokens",
            field="doc_stride",
            limit=max_overlap,
        )
    return plan_windows(text_tokens, max_text_tokens, overlap)


def split_encoding(encoding: Encoding, request: LongTextRequest, max_length: int) -> list[TokenSequence]:
    """Split a text, or the longer text of a pair. Every window has all other tokens of the whole, special ones too.

    Args:
        encoding: the text or the pair, not truncated. Its special tokens must not depend on the text, which is true of
            every post-processor of the ``tokenizers`` library.
        request: says how the windows overlap.
        max_length: longest sequence that the model reads, in tokens.

    Raises:
        InvalidRequest: the shorter text leaves too little room for the longer one, or a parameter is out of range.
    """
    parts = encoding.sequence_ids
    tokens = parts.count(0), parts.count(1)
    longer = int(tokens[1] > tokens[0])
    max_tokens = window_length(request, len(parts), max_length) - (len(parts) - sum(tokens))
    windows = plan_text_windows(request, tokens[longer], tokens[1 - longer], max_tokens, other="inputs")
    start = parts.index(longer)
    end = start + tokens[longer]

    def part_of(values: list[int], window: Window) -> list[int]:
        return [*values[:start], *values[start + window.start : start + window.stop], *values[end:]]

    ids, type_ids = encoding.ids, encoding.type_ids
    return [TokenSequence(part_of(ids, window), part_of(type_ids, window)) for window in windows]


def combine_scores(scores: Scores, how: CombineWindows, *, competing: bool) -> Scores:
    """Make one score per label of the scores of a text's windows.

    Args:
        scores: of shape (windows, labels).
        how: as the contract defines ``combine_windows``.
        competing: whether the labels of a window compete, as with a softmax; False if each is scored on its own.

    Returns:
        Scores of shape (labels,). One window keeps its scores, to the last bit.
    """
    if len(scores) == 1:
        only: Scores = scores[0]
        return only
    if how == "mean":
        mean: Scores = scores.mean(axis=0)
        return mean
    if competing:
        most_certain: Scores = scores[scores.max(axis=-1).argmax()]
        return most_certain
    highest: Scores = scores.max(axis=0)
    return highest
