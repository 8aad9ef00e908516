"""What a request costs, before anybody has tokenized it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["estimate_tokens"]

#: Celery's part of a message's body and the names of the arguments.
_FRAME_BYTES = 100
_BYTES_PER_TOKEN = 4


def estimate_tokens(kwargs: Mapping[str, Any], body_bytes: int) -> int:
    """Tokens that the model will read, at least 1: the text's, as often as it is paired with a label.

    Args:
        kwargs: the request's, as they came.
        body_bytes: length of the message's body.
    """
    labels = kwargs.get("candidate_labels")
    pairs = 1
    if isinstance(labels, str):
        pairs = labels.count(",") + 1
    elif isinstance(labels, list):
        pairs = max(1, len(labels))
    return max(1, (body_bytes - _FRAME_BYTES) // _BYTES_PER_TOKEN) * pairs
