"""Estimates the cost of a request before it is tokenized."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["BYTES_PER_TOKEN", "estimate_tokens"]

#: Bytes of a message's body that are not text: Celery's options and the names of the arguments.
_FRAME_BYTES = 100
#: Of English text.
BYTES_PER_TOKEN = 4


def estimate_tokens(kwargs: Mapping[str, Any], body_bytes: int) -> int:
    """Estimate the number of tokens that the model will read: the text, once per candidate label; at least 1.

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
    return max(1, (body_bytes - _FRAME_BYTES) // BYTES_PER_TOKEN) * pairs
