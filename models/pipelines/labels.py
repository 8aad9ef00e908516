"""The names of a classification head's labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["label_names"]


def label_names(config: Mapping[str, Any]) -> list[str]:
    """Names of the labels by index; ``LABEL_<n>`` if the configuration has none, as in ``transformers``.

    Args:
        config: the model's ``config.json``.
    """
    names = config.get("id2label")
    if names:
        return [str(names[str(index)]) for index in range(len(names))]
    return [f"LABEL_{index}" for index in range(int(config.get("num_labels") or 2))]
