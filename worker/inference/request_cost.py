"""The cost of a request, estimated before anybody has tokenized it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["estimate_tokens"]

#: Bytes of a message's body that are no text: Celery's part, and the names of the arguments.
_FRAME_BYTES = 100
_BYTES_PER_TOKEN = 4


def estimate_tokens(kwargs: Mapping[str, Any], body_bytes: int) -> int:
    """Number of tokens that the model will read, at least 1: those of the text, once for each candidate label.

    Args:
        kwargs: the request's arguments by name, as they came.
        body_bytes: length of the message's body.
    """
    labels = kwargs.get("candidate_labels")
    pairs = 1
    if isinstance(labels, str):
        pairs = labels.count(",") + 1
    elif isinstance(labels, list):
        pairs = max(1, len(labels))
    return max(1, (body_bytes - _FRAME_BYTES) // _BYTES_PER_TOKEN) * pairs
