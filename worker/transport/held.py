"""What a process holds, told to the thread that renews its lease while other threads change it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeVar

__all__ = ["Held", "HoldsMessages", "snapshot"]

T = TypeVar("T")


class Held(NamedTuple):
    """What a process holds, or a part of it. What it has just acknowledged may be among it.

    Attributes:
        tags: delivery tags.
        records: keys of records of fetches whose reply may not have been read; the server knows the tags.
    """

    tags: list[str]
    records: list[str]


class HoldsMessages(Protocol):
    """A channel, as far as the lease of its process knows it."""

    def held(self) -> Held:
        """What the channel holds; called by any thread."""


def snapshot(values: Iterable[T]) -> list[T]:
    """The values at one moment of a collection that other threads change."""
    while True:
        try:
            return list(values)
        except RuntimeError:  # it has changed meanwhile
            continue
