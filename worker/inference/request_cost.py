"""Estimates the cost of a request before it is tokenized."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from producer.contract import MAX_SEQUENCES

__all__ = ["BYTES_PER_TOKEN", "estimate_tokens"]

#: Bytes of a message's body that are not text: Celery's options and the names of the arguments.
_FRAME_BYTES = 100
#: Of English text.
BYTES_PER_TOKEN = 4
#: What most models read at once, special tokens not counted.
_MODEL_TOKENS = 509
#: As the contract has them where a request does not say: the window of a context, and the overlap of windows.
_CONTEXT_WINDOW_TOKENS = 384
_OVERLAP_TOKENS = 128


def estimate_tokens(kwargs: Mapping[str, Any], body_bytes: int) -> int:
    """Estimate the number of tokens that the model will read; at least 1.

    That is the text, and what its windows repeat, once per candidate label.

    Args:
        kwargs: the request's arguments by name, not validated.
        body_bytes: size of the message's body.
    """
    labels = kwargs.get("candidate_labels")
    pairs = 1
    if isinstance(labels, str):
        pairs = labels.count(",") + 1
    elif isinstance(labels, list):
        pairs = max(1, len(labels))
    max_windows = MAX_SEQUENCES // pairs
    repeated = sum(text.repeated_tokens(max_windows) for text in _long_texts(kwargs))
    return (max(1, (body_bytes - _FRAME_BYTES) // BYTES_PER_TOKEN) + repeated) * pairs


@dataclass(frozen=True)
class _LongText:
    """A text that is read in windows, and what each of them repeats.

    Attributes:
        tokens: length of the text.
        other_tokens: length of what is repeated: the question, the hypothesis or the other text of a pair.
        window_tokens: most tokens of a window, both together.
        overlap_tokens: how much of the text a window shares with the next one; None if the request does not say.
    """

    tokens: int
    other_tokens: int
    window_tokens: int
    overlap_tokens: int | None

    def repeated_tokens(self, max_windows: int) -> int:
        """How many tokens are read in addition to the text and what is beside it, each read once.

        Args:
            max_windows: with more the request is refused.
        """
        room = max(self.window_tokens - self.other_tokens, 1)
        overlap = min(_OVERLAP_TOKENS, room // 2) if self.overlap_tokens is None else min(self.overlap_tokens, room - 1)
        more_windows = -(-max(0, self.tokens - room) // (room - overlap))
        return min(more_windows, max_windows) * (overlap + self.other_tokens)


def _long_texts(kwargs: Mapping[str, Any]) -> Iterator[_LongText]:
    overlap_tokens, window_tokens = (_whole_number(kwargs.get(name)) for name in ("doc_stride", "max_seq_len"))
    if "context" in kwargs:
        window_tokens = min(window_tokens or _CONTEXT_WINDOW_TOKENS, _MODEL_TOKENS)
        for question, context in zip(_listed(kwargs.get("question")), _listed(kwargs["context"]), strict=False):
            yield _LongText(_tokens(context), _tokens(question), window_tokens, overlap_tokens)
    elif kwargs.get("truncation") == "windows":
        hypothesis = _hypothesis_tokens(kwargs)
        window_tokens = min(window_tokens or _MODEL_TOKENS, _MODEL_TOKENS)
        for item in _listed(kwargs.get("inputs")):
            parts = (item.get("text"), item.get("text_pair")) if isinstance(item, Mapping) else (item, None)
            shorter, longer = sorted(map(_tokens, parts))
            yield _LongText(longer, shorter + hypothesis, window_tokens, overlap_tokens)


def _hypothesis_tokens(kwargs: Mapping[str, Any]) -> int:
    labels = kwargs.get("candidate_labels")
    if labels is None:
        return 0
    longest = max(map(_tokens, labels.split(",") if isinstance(labels, str) else _listed(labels)), default=0)
    return longest + _tokens(kwargs.get("hypothesis_template", "This example is {}."))


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _tokens(text: object) -> int:
    return len(text.encode(errors="surrogatepass")) // BYTES_PER_TOKEN if isinstance(text, str) else 0


def _whole_number(value: object) -> int | None:
    """A parameter that may be anything, as a number that is not negative; None if it is none."""
    return max(0, value) if isinstance(value, int) else None
