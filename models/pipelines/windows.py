"""Cutting a context that is longer than the model reads."""

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


def plan_windows(tokens: int, room: int, overlap: int) -> list[Window]:
    """Cut so many tokens into windows; the last one ends with the last token.

    Args:
        tokens: length of the context.
        room: most tokens of a window.
        overlap: tokens that a window shares with the next, less than ``room``.
    """
    step = room - overlap
    count = 1 + max(0, -(-(tokens - room) // step))
    return [Window(index * step, min(index * step + room, tokens)) for index in range(count)]
