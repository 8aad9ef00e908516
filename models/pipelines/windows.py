"""Splitting a context that is longer than the model reads."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Window", "plan_windows"]


@dataclass(frozen=True)
class Window:
    """Tokens ``start`` to ``stop`` (exclusive) of a context."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def plan_windows(tokens: int, max_tokens: int, overlap: int) -> list[Window]:
    """Split a context into windows. The last one ends with the last token.

    Args:
        tokens: length of the context, in tokens.
        max_tokens: most tokens of a window.
        overlap: tokens that a window shares with the next one, less than ``max_tokens``.
    """
    step = max_tokens - overlap
    count = 1 + max(0, -(-(tokens - max_tokens) // step))
    return [Window(index * step, min(index * step + max_tokens, tokens)) for index in range(count)]
